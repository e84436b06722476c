//! A run of several Euler steps as numbers to plot. Change what is told about a path here.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::Result;
use crate::protocol::PathPoint;

/// One point for each velocity (1, C, h, w) of the run from `start` to `end`; none for a run without.
pub(super) fn points(start: &Tensor, end: &Tensor, velocities: &[Tensor]) -> Result<Arc<[PathPoint]>> {
    if velocities.is_empty() {
        return Ok([].into());
    }
    let chord = (end.to_dtype(DType::F32)? - start.to_dtype(DType::F32)?)?;
    let square = |tensor: &Tensor| -> Result<f32> { Ok(tensor.sqr()?.sum_all()?.to_scalar()?) };
    let values = chord.elem_count() as f32;
    let mut points = Vec::with_capacity(velocities.len());
    for (step, v) in velocities.iter().enumerate() {
        let v = v.to_dtype(DType::F32)?;
        points.push(PathPoint {
            t: step as f32 / velocities.len() as f32,
            speed: (square(&v)? / values).sqrt(),
            deviation: square(&(&chord - v)?)?,
        });
    }
    Ok(points.into())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_straight_path_has_one_speed_and_no_deviation() -> Result<()> {
        let tensor = |values: [f32; 2]| Tensor::new(&[[[values]]], &Device::Cpu);
        let (start, end) = (tensor([1.0, 0.0])?, tensor([4.0, 4.0])?);
        let straight = points(&start, &end, &[tensor([3.0, 4.0])?, tensor([3.0, 4.0])?])?;
        assert_eq!(straight.len(), 2);
        assert!(straight.iter().all(|p| (p.speed - 12.5f32.sqrt()).abs() < 1e-5 && p.deviation < 1e-5));
        assert!((straight[1].t - 0.5).abs() < 1e-6);
        let bent = points(&start, &end, &[tensor([5.0, 4.0])?, tensor([1.0, 4.0])?])?;
        assert!(bent.iter().all(|p| (p.deviation - 4.0).abs() < 1e-5), "each is 2 off: {bent:?}");
        assert!(points(&start, &end, &[])?.is_empty());
        Ok(())
    }
}
