//! A page of a list of tasks, the latest status first, and the token of the next one. Pure.
//!
//! A token names the last task of its page by its time and id, so that what is updated meanwhile moves to the front and
//! shifts nothing.

use super::ids::TaskId;

/// The place of a task in a list: microseconds since 1970, and its id.
pub(crate) type Place = (i64, TaskId);

pub(crate) const DEFAULT_PAGE: usize = 50;
pub(crate) const MAX_PAGE: usize = 100;

/// The text is no token of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchPage;

/// The place after which a page begins; `None` for the first one.
pub(crate) fn read_token(token: &str) -> Result<Option<Place>, NoSuchPage> {
    if token.is_empty() {
        return Ok(None);
    }
    let (time, id) = token.split_once('_').ok_or(NoSuchPage)?;
    let time = time.parse().map_err(|_| NoSuchPage)?;
    let id = id.parse().map_err(|_| NoSuchPage)?;
    Ok(Some((time, id)))
}

/// The tasks of a page, and the token of the next; empty after the last.
pub(crate) fn page<T>(
    mut tasks: Vec<T>,
    place: impl Fn(&T) -> Place,
    after: Option<Place>,
    size: usize,
) -> (Vec<T>, String) {
    tasks.sort_by_key(|task| std::cmp::Reverse(place(task)));
    tasks.retain(|task| after.is_none_or(|after| place(task) < after));
    let has_more = tasks.len() > size;
    tasks.truncate(size);
    let token = match tasks.last().map(&place) {
        Some((time, id)) if has_more => format!("{time}_{id}"),
        _ => String::new(),
    };
    (tasks, token)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn place(time: i64, id: u128) -> Place {
        let id = TaskId {
            task: Uuid::from_u128(id),
            message: Uuid::from_u128(id),
        };
        (time, id)
    }

    #[test]
    fn pages_have_every_task_once_the_latest_first() {
        let tasks = vec![place(1, 1), place(3, 2), place(2, 3), place(2, 4), place(-1, 5)];
        let mut listed = Vec::new();
        let mut token = String::new();
        loop {
            let after = read_token(&token).unwrap();
            let (page, next) = page(tasks.clone(), |task| *task, after, 2);
            listed.extend(page);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(
            listed,
            [place(3, 2), place(2, 4), place(2, 3), place(1, 1), place(-1, 5)]
        );
    }

    #[test]
    fn a_page_that_ends_the_list_has_no_token() {
        let (page, next) = page(vec![place(1, 1), place(2, 2)], |task| *task, None, 2);
        assert_eq!((page.len(), next.as_str()), (2, ""));
    }

    #[test]
    fn what_no_page_gave_is_no_token() {
        for token in ["x", "1", "1_", "_", "1_2", "x_y"] {
            assert_eq!(read_token(token), Err(NoSuchPage), "{token}");
        }
    }
}
