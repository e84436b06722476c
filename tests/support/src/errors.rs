//! Errors that a test expects. Change here what a message is searched for in.

use std::fmt::Display;

/// Panics unless `result` is an error with `words` in its message; of `anyhow`'s errors, the causes count too. An
/// assertion of any error at all would pass if something else went wrong.
#[track_caller]
pub fn assert_error<T>(result: Result<T, impl Display>, words: &str) {
    match result {
        Ok(_) => panic!("no error: {words:?} was expected"),
        Err(error) => {
            let message = format!("{error:#}");
            assert!(message.contains(words), "{words:?} is not in {message:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_error_passes() {
        assert_error(Err::<(), _>("no such file"), "such");
    }

    #[test]
    #[should_panic(expected = r#"no error: "such" was expected"#)]
    fn success_is_refused() {
        assert_error(Ok::<_, &str>(7), "such");
    }

    #[test]
    #[should_panic(expected = r#""such" is not in "out of memory""#)]
    fn another_error_is_refused() {
        assert_error(Err::<(), _>("out of memory"), "such");
    }
}
