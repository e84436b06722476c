//! Interpolation between two seeds, as [`Blend`] asks for it. Change here how noise is interpolated; the interpolation
//! between two prompts is in `conditioning.rs`.

use crate::flow::noise::Generator;
use crate::protocol::{Blend, Settings};
use crate::{Error, Result};

/// Refuses a blend that is not possible. `noise_given` says that the noise comes from a file.
pub(super) fn validate(blend: &Blend, noise_given: bool) -> Result<()> {
    let ways = [blend.prompt.as_ref().map(|toward| toward.by), blend.seed.as_ref().map(|toward| toward.by)];
    for by in ways.into_iter().flatten() {
        if !(0.0..=1.0).contains(&by) {
            return Err(Error::Setting(format!("a blend of {by} is not possible: choose 0 to 1")));
        }
    }
    if noise_given && blend.seed.is_some() {
        return Err(Error::Setting(
            "noise from a file cannot be blended with a second seed: leave one of the two out".to_owned(),
        ));
    }
    Ok(())
}

/// The noise of the settings, drawn one after the other: first what the picture starts from, then what samplers add on
/// the way. It is the seed's, or a point between the seed's and the second seed's.
pub(super) struct Noise {
    from: Generator,
    toward: Option<(Generator, f32)>,
}

impl Noise {
    pub(super) fn new(settings: &Settings) -> Self {
        let toward = settings.blend.seed.as_ref();
        Self {
            from: Generator::new(settings.seed),
            toward: toward.map(|toward| (Generator::new(toward.to), toward.by)),
        }
    }

    /// The next values, row-major.
    pub(super) fn next(&mut self, shape: &[usize]) -> Vec<f32> {
        let from = self.from.randn(shape);
        match &mut self.toward {
            None => from,
            Some((toward, by)) => slerp(from, toward.randn(shape), *by),
        }
    }
}

/// Spherical linear interpolation (Shoemake, "Animating rotation with quaternion curves", 1985) of two whole vectors.
/// Between two draws of noise it keeps the length that noise has; linear interpolation does not.
fn slerp(from: Vec<f32>, to: Vec<f32>, by: f32) -> Vec<f32> {
    if by <= 0.0 {
        return from;
    }
    if by >= 1.0 {
        return to;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = dot(&from, &to) / (dot(&from, &from) * dot(&to, &to)).sqrt();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let by = f64::from(by);
    // Vectors of the same direction (a seed and itself) have no arc between them, and opposite ones have many.
    let (a, b) = if angle.sin() < 1e-6 || !angle.is_finite() {
        (1.0 - by, by)
    } else {
        (((1.0 - by) * angle).sin() / angle.sin(), (by * angle).sin() / angle.sin())
    };
    from.iter().zip(&to).map(|(from, to)| (a * f64::from(*from) + b * f64::from(*to)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::{Tolerance, assert_close_case, assert_error};

    use super::*;
    use crate::protocol::Toward;

    const TOLERANCE: Tolerance = Tolerance::absolute(1e-6);

    #[test]
    fn the_way_is_an_arc() {
        let (x, y) = (vec![2.0, 0.0], vec![0.0, 2.0]);
        let third = slerp(x.clone(), y.clone(), 1.0 / 3.0);
        assert_close_case("30 degrees of 90", third, [3f32.sqrt(), 1.0], TOLERANCE);
        assert_eq!(slerp(x.clone(), y.clone(), 0.0), x);
        assert_eq!(slerp(x, y.clone(), 1.0), y);
        assert_close_case("no way at all", slerp(y.clone(), y.clone(), 0.4), &y, TOLERANCE);
    }

    #[test]
    fn noise_keeps_its_length_on_the_way() {
        let shape = [1, 4, 16, 16];
        let rms = |values: &[f32]| (values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64).sqrt();
        for by in [0.25, 0.5, 0.75] {
            let blend = Blend { seed: Some(Toward { to: 9, by }), prompt: None };
            let settings = Settings { seed: 3, blend, ..Settings::student("") };
            let length = rms(&Noise::new(&settings).next(&shape));
            assert_close_case(format!("{by} of the way"), length, 1.0, Tolerance::absolute(0.05));
        }
    }

    #[test]
    fn only_the_way_between_can_be_drawn() {
        let at = |by| Blend { seed: Some(Toward { to: 1, by }), prompt: None };
        assert!(validate(&at(0.5), false).is_ok());
        for by in [-0.1, 1.1, f32::NAN] {
            assert_error(validate(&at(by), false), &format!("blend of {by} "));
        }
        assert_error(validate(&at(0.5), true), "second seed");
    }
}
