//! Logs panics of every thread, besides what is printed of them anyway.

use std::panic::PanicHookInfo;
use std::sync::Arc;

use super::log::Log;

/// Logs every panic from now on, before its thread is gone.
pub(super) fn record(log: Arc<Log>) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log.error_now(&sentence(panic));
        before(panic);
    }));
}

fn sentence(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = panic.payload_as_str().unwrap_or("no message");
    format!("a panic in thread {} at {place}: {}", thread.name().unwrap_or("without a name"), without_words(message))
}

/// The message without a person's words: a panic about a text that was cut in the wrong place quotes the text.
fn without_words(message: &str) -> String {
    match (message.find('`'), message.rfind('`')) {
        (Some(first), Some(last)) if first < last && message.contains("byte index") => {
            format!("{}`…`{}", &message[..first], &message[last + 1..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_any_thread_is_logged_with_its_thread_and_place() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("test.log");
        record(Arc::new(Log::open(&path).expect("a folder that can be written")));
        let thread = std::thread::Builder::new().name("engine".to_owned());
        let ended = thread.spawn(|| panic!("planted")).expect("a thread").join();
        ended.expect_err("it panics");
        let text = std::fs::read_to_string(&path).expect("written before the thread is gone");
        assert!(text.contains("ERROR") && text.contains("a panic in thread engine at "), "{text}");
        assert!(text.contains(file!()) && text.contains(": planted"), "{text}");
    }

    #[test]
    fn a_text_that_was_cut_wrongly_is_not_logged() {
        let prompt = "ein großes `Schiff`";
        let cut = std::hint::black_box(8);
        let panic = std::panic::catch_unwind(|| prompt[..cut].len()).expect_err("inside ß");
        let message = panic.downcast_ref::<String>().expect("words");
        assert!(message.contains("Schiff"), "{message}");
        let logged = without_words(message);
        assert!(!logged.contains("Schiff") && !logged.contains("ein") && logged.contains("byte index"), "{logged}");
        let kept = "called `Option::unwrap()` on a `None` value";
        assert_eq!(without_words(kept), kept);
    }
}
