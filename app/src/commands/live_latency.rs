//! `instaflow bench --live`: a prompt is typed key by key, and the engine's thread draws it as it does for the window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use instaflow_engine::Error;
use instaflow_engine::pipeline::Models;
use instaflow_engine::protocol::{
    DrawEvent, DrawOutcome, Event, Failure, JobId, Lane, OpenEvent, OpenOutcome, OpenRequest, Request, Settings,
};
use instaflow_engine::worker::{Backend, Engine};

use super::progress::Progress;

/// Between two keys: ten a second, as a quick typist does.
const KEY_INTERVAL: Duration = Duration::from_millis(100);

/// How fast pictures followed the keys.
pub(super) struct LiveLatency {
    /// Median seconds from key to pixels, over the keys whose picture was drawn.
    pub p50: f64,
    /// Their 95th percentile.
    pub p95: f64,
    /// Keys whose picture was drawn.
    pub drawn: usize,
    /// Keys overtaken by a later one.
    pub dropped: usize,
}

/// Hands the models to an engine's thread and types `prompt`, with one request for each key.
pub(super) fn run(
    models: Models,
    settings: &Settings,
    prompt: &str,
    progress: &Progress,
) -> anyhow::Result<LiveLatency> {
    let mut models = Some(models);
    let engine = Engine::with(
        || {},
        move |_, _, _| {
            let open_already = || Error::Setting("the model to time is open already".to_owned());
            models.take().map(|models| Arc::new(models) as Arc<dyn Backend>).ok_or_else(open_already)
        },
    );
    let keys = prompt.chars().count();
    progress.begin("typing", keys as u64);
    engine.send(Request::Open(JobId(0), OpenRequest::default()));
    wait_until_open(&engine)?;
    // Warms up: the first picture touches its memory for the first time.
    draw(&engine, JobId(1), settings.clone());
    loop {
        match next_end(&engine)? {
            (_, DrawOutcome::Failed(failure)) => return Err(failed(failure)),
            (JobId(1), _) => break,
            _ => {}
        }
    }

    let mut latencies = Vec::new();
    let mut take = |event: Event| -> anyhow::Result<Option<JobId>> {
        let Event::Draw(id, _, DrawEvent::End(outcome)) = event else { return Ok(None) };
        match outcome {
            DrawOutcome::Drawn { seconds, .. } => latencies.push(seconds),
            DrawOutcome::Failed(failure) => return Err(failed(failure)),
            DrawOutcome::Unchanged | DrawOutcome::Dropped => {}
        }
        Ok(Some(id))
    };
    let mut last = JobId(1);
    let mut due = Instant::now();
    for (key, (at, letter)) in prompt.char_indices().enumerate() {
        while let Ok(event) = engine.events().recv_deadline(due) {
            take(event)?;
        }
        last = JobId(last.0 + 1);
        draw(&engine, last, Settings { prompt: prompt[..at + letter.len_utf8()].to_owned(), ..settings.clone() });
        progress.set(key as u64 + 1);
        due = Instant::now() + KEY_INTERVAL;
    }
    loop {
        let event = engine.events().recv().map_err(|_| anyhow!(ENGINE_GONE))?;
        if take(event)? == Some(last) {
            break;
        }
    }
    latencies.sort_by(f64::total_cmp);
    let drawn = latencies.len();
    Ok(LiveLatency {
        p50: percentile(&latencies, 0.5)?,
        p95: percentile(&latencies, 0.95)?,
        drawn,
        dropped: keys - drawn,
    })
}

const ENGINE_GONE: &str = "the engine's thread has ended: run the command again, and report it if it happens twice";

fn draw(engine: &Engine, id: JobId, settings: Settings) {
    engine.send(Request::Draw { id, lane: Lane::Live, settings, asked: Instant::now() });
}

fn wait_until_open(engine: &Engine) -> anyhow::Result<()> {
    loop {
        match engine.events().recv().map_err(|_| anyhow!(ENGINE_GONE))? {
            Event::Open(_, OpenEvent::End(OpenOutcome::Failed(failure))) => return Err(failed(failure)),
            Event::Open(_, OpenEvent::End(_)) => return Ok(()),
            _ => {}
        }
    }
}

/// Waits for the end of a drawing job.
fn next_end(engine: &Engine) -> anyhow::Result<(JobId, DrawOutcome)> {
    loop {
        if let Event::Draw(id, _, DrawEvent::End(outcome)) = engine.events().recv().map_err(|_| anyhow!(ENGINE_GONE))? {
            return Ok((id, outcome));
        }
    }
}

/// The failure as an error with its causes under it.
fn failed(failure: Failure) -> anyhow::Error {
    let mut messages = failure.causes.into_iter().rev().chain([failure.message]);
    let innermost = anyhow!(messages.next().unwrap_or_default());
    messages.fold(innermost, anyhow::Error::context)
}

/// Nearest-rank percentile of ascending values.
fn percentile(sorted: &[f64], part: f64) -> anyhow::Result<f64> {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .ok_or_else(|| anyhow!("no key's picture was drawn: give a longer prompt"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::{Tolerance, assert_close, assert_error};

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        for (part, expected) in [(0.5, 10.0), (0.95, 19.0), (1.0, 20.0)] {
            assert_close(percentile(&values, part).expect("values"), expected, Tolerance::absolute(1e-12));
        }
        assert_close(percentile(&[7.0], 0.95).expect("a value"), 7.0, Tolerance::absolute(1e-12));
        assert_error(percentile(&[], 0.5), "a longer prompt");
    }

    #[test]
    fn a_failure_keeps_its_causes_in_order() {
        let error = failed(Failure { message: "a".into(), causes: vec!["b".into(), "c".into()] });
        assert_eq!(error.chain().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
