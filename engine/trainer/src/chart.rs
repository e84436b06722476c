//! Curves as PNG. Change here how plots look.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::file_io;

/// One diagram: several curves over one axis.
pub struct Panel {
    /// Above the diagram.
    pub title: String,
    /// What the horizontal axis counts.
    pub x: String,
    /// What the vertical axis counts.
    pub y: String,
    /// Names and points, x ascending; points that are no numbers are left out.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

const WIDTH: u32 = 900;
const HEIGHT: u32 = 420;
/// Colours that people who see few can tell apart (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Writes diagrams below each other.
pub fn write(path: &Path, panels: &[Panel]) -> Result<()> {
    ensure!(!panels.is_empty(), "there is nothing to plot");
    let font =
        FONT.get_or_init(|| register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok());
    ensure!(*font, "the font of the plots cannot be read");
    let height = HEIGHT * panels.len() as u32;
    let mut bytes = vec![0; (3 * WIDTH * height) as usize];
    {
        let root = BitMapBackend::with_buffer(&mut bytes, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE).map_err(fault)?;
        for (area, panel) in root.split_evenly((panels.len(), 1)).iter().zip(panels) {
            draw(area, panel)?;
        }
        root.present().map_err(fault)?;
    }
    let picture = image::RgbImage::from_raw(WIDTH, height, bytes).context("a plot of a wrong size")?;
    file_io::write_png(path, &picture)
}

static FONT: OnceLock<bool> = OnceLock::new();

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

fn draw(area: &Area, panel: &Panel) -> Result<()> {
    let finite = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    };
    let curves: Vec<(&str, Vec<(f64, f64)>)> =
        panel.curves.iter().map(|(name, points)| (name.as_str(), finite(points))).collect();
    let points = || curves.iter().flat_map(|(_, points)| points);
    let (left, right) = range(points().map(|point| point.0));
    let (bottom, top) = range(points().map(|point| point.1));
    // Room for the names.
    let top = if curves.len() > 1 { top + 0.3 * (top - bottom) } else { top };
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(left..right, bottom..top)
        .map_err(fault)?;
    chart
        .configure_mesh()
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .label_style(("sans-serif", 15))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(fault)?;
    for (index, (name, points)) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(if points.len() < 40 {
            3
        } else {
            0
        });
        chart
            .draw_series(line)
            .map_err(fault)?
            .label(*name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 15))
            .draw()
            .map_err(fault)?;
    }
    Ok(())
}

/// From the least to the largest with a little room; 0 … 1 if there are none.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, largest) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
    if least > largest {
        return (0.0, 1.0);
    }
    let room = if largest > least { 0.05 * (largest - least) } else { 0.5 * largest.abs().max(1e-6) };
    (least - room, largest + room)
}

fn fault(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a plot cannot be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_leave_ink_and_broken_points_do_not_matter() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let ink = |curves: Vec<(String, Vec<(f64, f64)>)>| -> Result<usize> {
            let path = folder.path().join("plot.png");
            let panel = Panel { title: "Loss".into(), x: "step".into(), y: "loss".into(), curves };
            write(&path, &[panel])?;
            let picture = image::open(&path)?.into_rgb8();
            assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
            Ok(picture.pixels().filter(|pixel| pixel.0 == [0, 114, 178]).count())
        };
        let points = vec![(1.0, 2.0), (2.0, 1.0), (3.0, 4.0)];
        let drawn = ink(vec![("a".into(), points.clone())])?;
        assert!(drawn > 500, "{drawn}");
        let broken = [points, vec![(4.0, f64::NAN)]].concat();
        assert_eq!(ink(vec![("a".into(), broken)])?, drawn);
        assert_eq!(ink(vec![("a".into(), Vec::new())])?, 0);
        assert!(ink(vec![("a".into(), vec![(1.0, 1.0)])])? > 0);
        Ok(())
    }
}
