//! Zoom and pan of a picture: plain arithmetic. All panes share one [`PanZoom`], so they move in step.

use egui::{Pos2, Rect, Vec2};

/// Which part of a picture is seen, independent of the pane's size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PanZoom {
    /// 1 shows the whole picture; 2 twice that size.
    pub zoom: f32,
    /// Where the pane's centre lies in the picture, from (0, 0) at its left top to (1, 1).
    pub centre: Vec2,
}

/// The smallest and largest zoom.
const ZOOM: (f32, f32) = (0.25, 32.0);

impl Default for PanZoom {
    fn default() -> Self {
        Self { zoom: 1.0, centre: Vec2::splat(0.5) }
    }
}

impl PanZoom {
    /// Where in `pane` a picture of `size` pixels is painted.
    pub fn place(&self, pane: Rect, size: Vec2) -> Rect {
        let shown = size * fit(pane, size) * self.zoom;
        Rect::from_min_size(pane.center() - shown * self.centre, shown)
    }

    /// Multiplies the zoom; the point of the picture under `at` stays there.
    pub fn zoom_about(&mut self, pane: Rect, size: Vec2, at: Pos2, factor: f32) {
        let before = self.place(pane, size);
        let point = (at - before.min) / before.size();
        self.zoom = (self.zoom * factor).clamp(ZOOM.0, ZOOM.1);
        let shown = size * fit(pane, size) * self.zoom;
        self.centre = point + (pane.center() - at) / shown;
        self.hold();
    }

    /// Moves the picture by `by` points.
    pub fn pan(&mut self, pane: Rect, size: Vec2, by: Vec2) {
        self.centre -= by / (size * fit(pane, size) * self.zoom);
        self.hold();
    }

    /// Zooms so that one picture pixel takes `points` points.
    pub fn show_pixels_at(&mut self, pane: Rect, size: Vec2, points: f32) {
        self.zoom = (points / fit(pane, size)).clamp(ZOOM.0, ZOOM.1);
    }

    /// The pane's centre never leaves the picture, so that it cannot get lost.
    fn hold(&mut self) {
        self.centre = self.centre.clamp(Vec2::ZERO, Vec2::ONE);
    }
}

/// Points per picture pixel at which the whole picture just fits.
fn fit(pane: Rect, size: Vec2) -> f32 {
    (pane.width() / size.x.max(1.0)).min(pane.height() / size.y.max(1.0)).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use egui::{pos2, vec2};

    use super::*;
    use instaflow_test_support::{Tolerance, assert_close};

    const PANE: Rect = Rect { min: Pos2 { x: 100.0, y: 50.0 }, max: Pos2 { x: 500.0, y: 250.0 } };

    #[test]
    fn a_fitted_picture_is_centred_and_whole() {
        let place = PanZoom::default().place(PANE, vec2(64.0, 64.0));
        assert_eq!(place, Rect::from_min_max(pos2(200.0, 50.0), pos2(400.0, 250.0)));
    }

    #[test]
    fn the_point_under_the_pointer_stays_there() {
        let size = vec2(512.0, 256.0);
        let at = pos2(180.0, 120.0);
        let mut pan_zoom = PanZoom { zoom: 1.5, centre: vec2(0.4, 0.6) };
        let under = |pan_zoom: &PanZoom| (at - pan_zoom.place(PANE, size).min) / pan_zoom.place(PANE, size).size();
        let before = under(&pan_zoom);
        pan_zoom.zoom_about(PANE, size, at, 1.3);
        assert!((under(&pan_zoom) - before).length() < 1e-5, "{before:?} became {:?}", under(&pan_zoom));
        assert_close(pan_zoom.zoom, 1.95, Tolerance::absolute(1e-5));
    }

    #[test]
    fn dragging_moves_the_picture_by_as_much_and_never_loses_it() {
        let size = vec2(64.0, 64.0);
        let mut pan_zoom = PanZoom { zoom: 3.0, ..PanZoom::default() };
        let before = pan_zoom.place(PANE, size).min;
        pan_zoom.pan(PANE, size, vec2(30.0, -20.0));
        assert!((pan_zoom.place(PANE, size).min - before - vec2(30.0, -20.0)).length() < 1e-3);
        pan_zoom.pan(PANE, size, vec2(1e6, 1e6));
        assert!(pan_zoom.place(PANE, size).contains(PANE.center()));
    }

    #[test]
    fn actual_pixels_fill_one_point_each() {
        let size = vec2(100.0, 100.0);
        let mut pan_zoom = PanZoom::default();
        pan_zoom.show_pixels_at(PANE, size, 1.0);
        assert_close(pan_zoom.place(PANE, size).width(), 100.0, Tolerance::absolute(1e-3));
    }
}
