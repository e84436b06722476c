//! Measures of the path that a run of several steps took, for plots. Add another measure here.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::Result;
use crate::protocol::PathPoint;

/// The velocities of a run, in the coordinates of a rectified flow.
#[derive(Default)]
pub(super) struct Trace {
    /// The velocity (1, C, h, w) of each step, and the time at its beginning.
    pub velocities: Vec<(f64, Tensor)>,
}

/// One point for each step of the run from `start` to `end`, which it reaches at the time `arrival`.
pub(super) fn points(start: &Tensor, end: &Tensor, arrival: f64, trace: &Trace) -> Result<Arc<[PathPoint]>> {
    let Some((departure, _)) = trace.velocities.first() else { return Ok([].into()) };
    // The velocity of the straight line from start to end.
    let chord = ((end.to_dtype(DType::F32)? - start.to_dtype(DType::F32)?)? / (arrival - departure))?;
    let square = |tensor: &Tensor| -> Result<f32> { Ok(tensor.sqr()?.sum_all()?.to_scalar()?) };
    let values = chord.elem_count() as f32;
    let mut points = Vec::with_capacity(trace.velocities.len());
    for (t, v) in &trace.velocities {
        let v = v.to_dtype(DType::F32)?;
        let (speed, deviation) = ((square(&v)? / values).sqrt(), square(&(&chord - v)?)?);
        points.push(PathPoint { t: *t as f32, speed, deviation });
    }
    Ok(points.into())
}

/// S = 1/(T − t_0) · Σ (t_{i+1} − t_i)·‖(z_T − z_0)/(T − t_0) − v_i‖² for steps of any length that end at T; `None` for a
/// run without points. For equal steps over all of [0, 1] this is the paper's estimate (section 3).
pub(super) fn straightness(points: &[PathPoint], arrival: f64) -> Option<f64> {
    let departure = f64::from(points.first()?.t);
    let ends = points.iter().skip(1).map(|point| f64::from(point.t)).chain([arrival]);
    let sum: f64 =
        points.iter().zip(ends).map(|(point, end)| (end - f64::from(point.t)) * f64::from(point.deviation)).sum();
    Some(sum / (arrival - departure))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use instaflow_test_support::{Tolerance, assert_close, assert_close_case};

    use super::*;

    fn tensor(values: [f32; 2]) -> candle_core::Result<Tensor> {
        Tensor::new(&[[[values]]], &Device::Cpu)
    }

    fn speeds(points: &[PathPoint]) -> Vec<f32> {
        points.iter().map(|point| point.speed).collect()
    }

    fn deviations(points: &[PathPoint]) -> Vec<f32> {
        points.iter().map(|point| point.deviation).collect()
    }

    #[test]
    fn a_straight_path_has_one_speed_and_no_deviation() -> Result<()> {
        let (start, end) = (tensor([1.0, 0.0])?, tensor([4.0, 4.0])?);
        let trace = |first, second| -> Result<Trace> {
            Ok(Trace { velocities: vec![(0.0, tensor(first)?), (0.5, tensor(second)?)] })
        };
        let straight = points(&start, &end, 1.0, &trace([3.0, 4.0], [3.0, 4.0])?)?;
        assert_eq!(straight.len(), 2);
        assert_close(speeds(&straight), [12.5f32.sqrt(); 2], Tolerance::absolute(1e-5));
        assert_close(deviations(&straight), [0.0; 2], Tolerance::absolute(1e-5));
        assert_close(straight[1].t, 0.5, Tolerance::absolute(1e-6));
        let bent = points(&start, &end, 1.0, &trace([5.0, 4.0], [1.0, 4.0])?)?;
        assert_close_case("each is 2 off", deviations(&bent), [4.0; 2], Tolerance::absolute(1e-5));
        assert!(points(&start, &end, 1.0, &Trace::default())?.is_empty());
        Ok(())
    }

    #[test]
    fn a_path_that_begins_late_is_measured_where_it_runs() -> Result<()> {
        // From t = 0.2 to 0.8 at a speed of 5: 0.6 of the way of a whole second.
        let (start, end) = (tensor([1.0, 0.0])?, tensor([2.8, 2.4])?);
        let trace = Trace { velocities: vec![(0.2, tensor([3.0, 4.0])?), (0.5, tensor([3.0, 4.0])?)] };
        let straight = points(&start, &end, 0.8, &trace)?;
        assert_close(deviations(&straight), [0.0; 2], Tolerance::absolute(1e-9));
        assert_eq!(straightness(&[], 1.0), None);
        // A third of the time with a deviation of 6, the rest with none.
        let uneven = [(0.2, 6.0), (0.4, 0.0)].map(|(t, deviation)| PathPoint { t, speed: 0.0, deviation });
        let s = straightness(&uneven, 0.8).expect("two points");
        assert_close(s, 2.0, Tolerance::absolute(1e-6));
        Ok(())
    }
}
