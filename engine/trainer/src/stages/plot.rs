//! The logs of the stages as curves: loss and samples per second over steps. Change here what of a log is plotted.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::files;
use crate::plot::{self, Panel};
use crate::progress::{LOG, Report};
use crate::run::Run;

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
        let reports = read(&run.path(&name).join(LOG))?;
        let curve = |value: fn(&Report) -> f64| {
            vec![(name.clone(), reports.iter().map(|report| (report.step as f64, value(report))).collect())]
        };
        let panel = |title: &str, y: &str, value| Panel {
            title: format!("{name}: {title}"),
            x: "step".into(),
            y: y.to_owned(),
            curves: curve(value),
        };
        let output = run.path(&format!("plots/{name}.png"));
        let loss = panel("loss", "loss", |report| report.loss);
        plot::write(&output, &[loss, panel("speed", "samples/s", |report| report.samples_per_second)])?;
        files::print(&format!("{}\n", output.display()))?;
    }
    Ok(())
}

/// The reports of a log by step. A run that went on from a checkpoint did some steps again: the later report counts.
/// Lines that are no report (one that was being written when the process ended) are passed over.
fn read(path: &Path) -> Result<Vec<Report>> {
    let text = files::read_text(path)?;
    let reports = text.lines().filter_map(|line| serde_json::from_str::<Report>(line).ok());
    let by_step: BTreeMap<u64, Report> = reports.map(|report| (report.step, report)).collect();
    Ok(by_step.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_reports_of_a_step_count_and_broken_lines_do_not() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(LOG);
        for (step, loss) in [(1, 4.0), (9, 3.0), (5, 2.0), (9, 1.0)] {
            let report = Report { step, loss, samples_per_second: 1.0, rate: 0.1, seconds: 1.0 };
            files::append_line(&path, &serde_json::to_string(&report)?)?;
        }
        files::append_line(&path, "{\"step\": 10, \"lo")?;
        let read: Vec<(u64, f64)> = read(&path)?.iter().map(|report| (report.step, report.loss)).collect();
        assert_eq!(read, [(1, 4.0), (5, 2.0), (9, 1.0)]);
        Ok(())
    }
}
