//! The paging of lists. Pure.

use serde::Deserialize;

use utoipa::IntoParams;

use crate::error::ApiError;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;
/// Where a list ends for clients, however long it is.
const MAX_ENTRY: usize = 10_000;

/// The direction of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OrderDirection {
    Asc,
    Desc,
}

/// The part of a list that a client asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Entries of a page; 50 by default, and at most 1000.
    limit: Option<usize>,
    /// Counts from 1. Pages end at the 10,000th entry.
    page_number: Option<usize>,
}

impl Page {
    pub(super) fn new(limit: Option<usize>, page_number: Option<usize>) -> Self {
        Self { limit, page_number }
    }

    pub(super) fn apply<T>(self, list: Vec<T>) -> Result<Vec<T>, ApiError> {
        let (skip, limit) = self.bounds()?;
        Ok(list.into_iter().skip(skip).take(limit).collect())
    }

    /// Entries to skip, and entries to take.
    pub(super) fn bounds(self) -> Result<(usize, usize), ApiError> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        let page = self.page_number.unwrap_or(1);
        if limit == 0 || page == 0 {
            return Err(ApiError::bad_request("limit and page_number count from 1"));
        }
        if limit > MAX_LIMIT {
            return Err(ApiError::bad_request(format!("limit is at most {MAX_LIMIT}")));
        }
        let skip = (page - 1).saturating_mul(limit);
        if skip >= MAX_ENTRY {
            return Err(ApiError::bad_request(format!(
                "page_number {page} begins after the {MAX_ENTRY}th entry, where lists end: narrow the list by its filters"
            )));
        }
        Ok((skip, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_fifty_entries_unless_asked_otherwise() {
        let bounds = |limit, page_number| Page { limit, page_number }.bounds();
        assert_eq!(bounds(None, None).unwrap(), (0, 50));
        assert_eq!(bounds(None, Some(3)).unwrap(), (100, 50));
        assert_eq!(bounds(Some(2), Some(2)).unwrap(), (2, 2));
        assert!(bounds(Some(0), None).is_err());
        assert!(bounds(None, Some(0)).is_err());
    }

    #[test]
    fn a_page_is_bounded_and_so_is_the_list() {
        let bounds = |limit, page_number| Page { limit, page_number }.bounds();
        assert_eq!(bounds(Some(1000), Some(10)).unwrap(), (9000, 1000));
        assert!(bounds(Some(1001), None).is_err());
        assert!(bounds(Some(1000), Some(11)).is_err());
        assert!(bounds(Some(1000), Some(usize::MAX)).is_err());
    }
}
