//! An error with its causes: as an iterator, and as one line of text.

use std::error::Error;
use std::fmt;

/// Displays an error and its causes, separated by `: `. A cause that the line already contains is not repeated.
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        for error in causes(self.0) {
            let text = error.to_string();
            if line.is_empty() {
                line = text;
            } else if !line.contains(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
        }
        formatter.write_str(&line)
    }
}

/// The error itself, then its causes, outermost first.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_follow_the_error_and_are_not_repeated() {
        let root = Link("connection refused", None);
        let middle = Link("connect: connection refused", Some(Box::new(root)));
        let error = Link("send the request", Some(Box::new(middle)));
        assert_eq!(
            ErrorChain(&error).to_string(),
            "send the request: connect: connection refused"
        );
        assert_eq!(causes(&error).count(), 3);
    }
}
