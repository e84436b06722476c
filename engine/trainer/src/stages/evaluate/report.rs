//! An evaluation as JSON, as a table and as plots. Change here how it reads.

use anyhow::Result;
use serde::Serialize;

use crate::chart::{self, Panel};
use crate::file_io;
use crate::sharpness::Sharpness;
use crate::training_run::Run;

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Prompts of the table.
    pub prompts: usize,
    /// Prompts of each point of a sweep.
    pub sweep_prompts: usize,
    /// Prompts that diversity was taken over.
    pub varied_prompts: usize,
    /// Groups of attributes.
    pub heads: Vec<String>,
    /// The classifier's own accuracy on held-out renders, by head.
    pub classifier: Vec<f64>,
    /// Pictures through the autoencoder and back, in dB: all, then by style.
    pub round_trip: Vec<(String, f64)>,
    /// The table.
    pub rows: Vec<Row>,
    /// Over guidance scales, in 25 steps.
    pub guidance: Vec<Point>,
    /// Over numbers of steps, guided.
    pub steps: Vec<Point>,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What drew the pictures.
    pub name: String,
    /// Squared Fréchet distance to fresh renders, in the features of the scene classifier.
    pub frechet: f64,
    /// Attributes as the prompt says, by the classifier: the mean over heads.
    pub accuracy: f64,
    /// The same by head; `None` where no prompt says anything of it.
    pub heads: Vec<Option<f64>>,
    /// How crisp the pictures are, at the size that is drawn: the mean over them.
    pub sharpness: Sharpness,
    /// Mean distance of features between pictures of one prompt.
    pub diversity: Option<f64>,
    /// How near to the pictures of the same flow's 25 guided steps from the same noise, in dB.
    pub likeness: Option<f64>,
    /// S(Z), summed over a latent's values.
    pub straightness: Option<f64>,
    /// E‖Z₁ − Z₀‖².
    pub transport: Option<f64>,
    /// From prompt to pixels, one picture on one replica.
    pub seconds: Option<f64>,
}

/// One point of a sweep.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Which flow.
    pub flow: String,
    /// Guidance scale or number of steps.
    pub at: f64,
    /// See [`Row::frechet`].
    pub frechet: f64,
    /// See [`Row::accuracy`].
    pub accuracy: f64,
}

impl Evaluation {
    /// Writes all of it into the run's folder and the table to stdout.
    pub fn write(&self, run: &Run) -> Result<()> {
        file_io::write_json(&run.path("evaluation.json"), &serde_json::to_value(self)?)?;
        let text = self.markdown();
        file_io::write(&run.path("evaluation.md"), text.as_bytes())?;
        for (name, axis, points) in
            [("guidance", "guidance scale", &self.guidance), ("steps", "Euler steps", &self.steps)]
        {
            if !points.is_empty() {
                chart::write(&run.path(&format!("evaluation-{name}.png")), &panels(axis, points))?;
            }
        }
        file_io::print(&text)
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "On {} held-out prompts, against as many fresh renders. Fréchet distance in the features of the scene \
             classifier (not FID); attributes that the prompt tells, in % by that classifier, the mean over its heads; diversity: mean distance \
             of features between pictures of one prompt ({} prompts); PSNR in dB, against the same flow's 25 guided \
             steps from the same noise; fine detail: power above half of Nyquist's frequency, and edges: the steepest \
             hundredth of the gradients, both as a share of the first row's; S and transport cost on latents; seconds \
             from prompt to pixels, one picture on one replica.\n\n",
            self.prompts, self.varied_prompts
        );
        text.push_str(
            "| | Fréchet | attributes | diversity | PSNR | fine detail | edges | S | transport | s |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        // Renders of the same prompts.
        let first = self.rows.first().map(|row| row.sharpness).unwrap_or_default();
        let share = |of: f64, first: f64| cell((first > 0.0).then(|| of / first), 2);
        for row in &self.rows {
            let cells = [
                row.name.clone(),
                format!("{:.2}", row.frechet),
                format!("{:.1}", 100.0 * row.accuracy),
                cell(row.diversity, 2),
                cell(row.likeness, 1),
                share(row.sharpness.high_frequency_power, first.high_frequency_power),
                share(row.sharpness.steepest_gradient, first.steepest_gradient),
                cell(row.straightness, 1),
                cell(row.transport, 0),
                cell(row.seconds, 3),
            ];
            text.push_str(&line(&cells));
        }
        let round_trip: Vec<String> = self.round_trip.iter().map(|(name, db)| format!("{name} {db:.1}")).collect();
        text.extend(["\nRound trip through the autoencoder, in dB: ", &round_trip.join(", "), ".\n"]);
        text.push_str(
            "\nAttributes by head, in %; the first line is the classifier's own accuracy on held-out renders:\n\n",
        );
        text.push_str(&line(&[vec![String::new()], self.heads.clone()].concat()));
        text.push_str(&line(&vec!["---".to_owned(); self.heads.len() + 1]));
        let own: Vec<Option<f64>> = self.classifier.iter().copied().map(Some).collect();
        let own = ("classifier", &own);
        for (name, heads) in std::iter::once(own).chain(self.rows.iter().map(|row| (row.name.as_str(), &row.heads))) {
            let shares = heads.iter().map(|share| cell(share.map(|share| 100.0 * share), 1));
            text.push_str(&line(&std::iter::once(name.to_owned()).chain(shares).collect::<Vec<_>>()));
        }
        for (title, points) in [("Guidance", &self.guidance), ("Steps", &self.steps)] {
            if points.is_empty() {
                continue;
            }
            text.extend([
                format!("\n{title} ({} prompts):\n\n", self.sweep_prompts),
                "| | at | Fréchet | attributes |\n|---|---|---|---|\n".to_owned(),
            ]);
            for point in points {
                let numbers = [format!("{:.2}", point.frechet), format!("{:.1}", 100.0 * point.accuracy)];
                text.push_str(&line(&[vec![point.flow.clone(), point.at.to_string()], numbers.to_vec()].concat()));
            }
        }
        text
    }
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

fn panels(axis: &str, points: &[Point]) -> [Panel; 2] {
    let mut flows: Vec<&String> = points.iter().map(|point| &point.flow).collect();
    flows.dedup();
    let curves = |value: fn(&Point) -> f64| {
        let curve = |flow: &&String| {
            let of = points.iter().filter(|point| point.flow == **flow);
            ((*flow).clone(), of.map(|point| (point.at, value(point))).collect())
        };
        flows.iter().map(curve).collect()
    };
    let panel = |title: &str, y: &str, value| Panel {
        title: title.to_owned(),
        x: axis.to_owned(),
        y: y.to_owned(),
        curves: curves(value),
    };
    [
        panel("Fréchet distance in classifier features", "distance", |point| point.frechet),
        panel("Attributes that the prompt names", "%", |point| 100.0 * point.accuracy),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_cell_for_everything() {
        let row = Row {
            name: "base flow, 25 steps".into(),
            frechet: 1.234,
            accuracy: 0.5,
            heads: vec![Some(0.25), None],
            sharpness: Sharpness { high_frequency_power: 0.003, steepest_gradient: 0.4 },
            diversity: Some(2.0),
            likeness: Some(31.25),
            straightness: None,
            transport: Some(4000.0),
            seconds: Some(0.0404),
        };
        let renders = Row {
            name: "renders".into(),
            sharpness: Sharpness { high_frequency_power: 0.004, steepest_gradient: 0.5 },
            ..row.clone()
        };
        let point = Point { flow: "base flow".into(), at: 1.5, frechet: 2.0, accuracy: 0.9 };
        let evaluation = Evaluation {
            prompts: 10,
            sweep_prompts: 5,
            varied_prompts: 3,
            heads: vec!["time".into(), "terrain".into()],
            classifier: vec![1.0, 0.99],
            round_trip: vec![("all".into(), 30.04), ("sketch".into(), 27.0)],
            rows: vec![renders, row],
            guidance: vec![point],
            steps: Vec::new(),
        };
        let text = evaluation.markdown();
        for part in [
            "| renders | 1.23 | 50.0 | 2.00 | 31.2 | 1.00 | 1.00 | – | 4000 | 0.040 |\n",
            "| base flow, 25 steps | 1.23 | 50.0 | 2.00 | 31.2 | 0.75 | 0.80 | – | 4000 | 0.040 |\n",
            "|  | time | terrain |\n| --- | --- | --- |\n| classifier | 100.0 | 99.0 |\n",
            "| base flow, 25 steps | 25.0 | – |\n",
            "in dB: all 30.0, sketch 27.0.\n",
            "| base flow | 1.5 | 2.00 | 90.0 |\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("\nSteps"));
    }
}
