//! What the readers of an entry make of it, once for all of them.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

/// A place for one value of the reader's choice. The first of many readers fills it.
#[derive(Default)]
pub struct Shared(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Shared {
    /// The value, made by `make` if there is none; `None` where a value of another type is there.
    pub fn get_or_init<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<Arc<T>> {
        self.0.get_or_init(|| Arc::new(make())).clone().downcast().ok()
    }
}

/// A copy of an entry has its own place.
impl Clone for Shared {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What readers made of an entry does not make it another.
impl PartialEq for Shared {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reader_makes_the_value_and_the_others_get_it() {
        let shared = Shared::default();
        assert_eq!(shared.get_or_init(|| 1_u32).as_deref(), Some(&1));
        assert_eq!(shared.get_or_init(|| 2_u32).as_deref(), Some(&1));
        assert_eq!(shared.get_or_init(|| "another type"), None);
    }
}
