//! The logs of the stages as curves: loss and samples per second over steps. Change here what of a log is plotted.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use crate::chart::{self, Panel};
use crate::file_io;
use crate::progress_log::{HeldOut, LOG, Report};
use crate::training_run::Run;

/// Writes `plots/STAGE.png` for every stage of the run that has a log, or for the one named.
pub fn write(run: &Run, only: Option<&str>) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&run.folder).with_context(|| format!("cannot list {}", run.folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join(LOG).exists() && only.is_none_or(|only| only == name) {
            names.push(name);
        }
    }
    names.sort();
    let wanted = only.map_or_else(String::new, |only| format!(" named {only}"));
    ensure!(!names.is_empty(), "{} holds no stage{wanted} with a log: train something first", run.folder.display());
    for name in names {
        let log = run.path(&name).join(LOG);
        let reports: BTreeMap<u64, Report> = read(&log, |report: &Report| report.step)?;
        let held_out: BTreeMap<u64, HeldOut> = read(&log, |held_out: &HeldOut| held_out.step)?;
        let curve = |name: &str, points: Vec<(f64, f64)>| (name.to_owned(), points);
        let losses = reports.values().map(|report| (report.step as f64, report.loss)).collect();
        let mut loss = vec![curve("trained on", losses)];
        if !held_out.is_empty() {
            let losses = held_out.values().map(|held_out| (held_out.step as f64, held_out.held_out)).collect();
            loss.push(curve("held out", losses));
        }
        let speed = reports.values().map(|report| (report.step as f64, report.samples_per_second)).collect();
        let panel =
            |y: &str, curves| Panel { title: format!("{name}: {y}"), x: "step".into(), y: y.to_owned(), curves };
        let output = run.path(&format!("plots/{name}.png"));
        chart::write(&output, &[panel("loss", loss), panel("samples/s", vec![curve(&name, speed)])])?;
        file_io::print(&format!("{}\n", output.display()))?;
    }
    Ok(())
}

/// The lines of one kind in a log, by step. A run that went on from a checkpoint did some steps again: the later line
/// counts. Lines of other kinds, and one that was being written when the process ended, are passed over.
fn read<T: DeserializeOwned>(path: &Path, step: impl Fn(&T) -> u64) -> Result<BTreeMap<u64, T>> {
    let text = file_io::read_text(path)?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<T>(line).ok());
    Ok(lines.map(|line| (step(&line), line)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress_log::log_held_out;

    #[test]
    fn later_reports_of_a_step_count_and_broken_lines_do_not() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(LOG);
        for (step, loss) in [(1, 4.0), (9, 3.0), (5, 2.0), (9, 1.0)] {
            let report = Report { step, loss, samples_per_second: 1.0, rate: 0.1, seconds: 1.0 };
            file_io::append_line(&path, &serde_json::to_string(&report)?)?;
        }
        file_io::append_line(&path, "{\"step\": 10, \"lo")?;
        let reports: BTreeMap<u64, Report> = read(&path, |report: &Report| report.step)?;
        let losses: Vec<(u64, f64)> = reports.values().map(|report| (report.step, report.loss)).collect();
        assert_eq!(losses, [(1, 4.0), (5, 2.0), (9, 1.0)]);

        log_held_out(folder.path(), 9, 1.5)?;
        let held_out: BTreeMap<u64, HeldOut> = read(&path, |held_out: &HeldOut| held_out.step)?;
        assert_eq!(held_out.into_values().collect::<Vec<_>>(), [HeldOut { step: 9, held_out: 1.5 }]);
        assert_eq!(read(&path, |report: &Report| report.step)?.len(), 3);
        Ok(())
    }
}
