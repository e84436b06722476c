//! Comparing numbers with a reference so that nothing slips through. Change here what counts as a number to compare.
//!
//! A maximum cannot do this alone: `f32::max` ignores NaN, and candle's `max` sees one only if it comes first. A result
//! that is partly NaN would pass.

use std::fmt::{Display, Formatter};

use candle_core::{DType, Device, Tensor};

/// How far a value may be from its reference. If both bounds are given, the larger one counts.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    absolute: f64,
    of_largest: f64,
}

impl Tolerance {
    /// The very same numbers.
    pub const EXACT: Self = Self::absolute(0.0);

    /// At most `bound`, however large the values are.
    pub const fn absolute(bound: f64) -> Self {
        Self { absolute: bound, of_largest: 0.0 }
    }

    /// At most this share of the largest expected value, signs aside. Fails if only zeros are expected.
    pub const fn of_largest(share: f64) -> Self {
        Self { absolute: 0.0, of_largest: share }
    }

    /// Also allows `bound`, which makes sense of expected values that are zero or nearly so.
    #[must_use]
    pub const fn or_absolute(self, bound: f64) -> Self {
        Self { absolute: bound, ..self }
    }
}

/// What two sets of numbers that are close are like.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// The largest difference.
    pub difference: f64,
    /// The largest expected value, signs aside.
    pub largest: f64,
}

impl Distance {
    /// The largest difference as a share of the largest expected value.
    pub fn of_largest(self) -> f64 {
        self.difference / self.largest
    }
}

/// Why two sets of numbers are not close.
#[derive(Clone, Debug, PartialEq)]
pub enum Mismatch {
    /// A bound of the tolerance is negative or no finite number.
    Tolerance(f64),
    /// The shapes, actual first.
    Shapes(Vec<usize>, Vec<usize>),
    /// Nothing to compare.
    Empty,
    /// An actual value is NaN or infinite.
    Actual(Vec<usize>, f64),
    /// An expected value is NaN or infinite.
    Expected(Vec<usize>, f64),
    /// Only zeros are expected, and the tolerance is a share of the largest.
    Zeros,
    /// The value that is farthest off.
    TooFar {
        /// Its index in each dimension.
        at: Vec<usize>,
        /// What was found there.
        actual: f64,
        /// What was expected there.
        expected: f64,
        /// The largest difference that is allowed.
        allowed: f64,
        /// The largest expected value, signs aside.
        largest: f64,
        /// How many values are off by more than is allowed.
        count: usize,
        /// How many values there are.
        of: usize,
    },
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tolerance(bound) => write!(f, "a tolerance of {bound:e} means nothing"),
            Self::Shapes(actual, expected) => write!(f, "shape {actual:?}, expected {expected:?}"),
            Self::Empty => write!(f, "there are no values to compare"),
            Self::Actual(at, value) => write!(f, "the actual value at {at:?} is {value}"),
            Self::Expected(at, value) => write!(f, "the expected value at {at:?} is {value}"),
            Self::Zeros => write!(f, "only zeros are expected: give an absolute tolerance"),
            Self::TooFar { at, actual, expected, allowed, largest, count, of } => write!(
                f,
                "at {at:?}: {actual:e}, expected {expected:e}: {:e} off, allowed {allowed:e}; largest expected value \
                 {largest:e}; {count} of {of} values are too far off",
                (actual - expected).abs(),
            ),
        }
    }
}

impl std::error::Error for Mismatch {}

/// Numbers with a shape: a tensor of any type on any device, a slice, or one number.
pub trait Numbers {
    /// The shape, and the values in row-major order.
    fn numbers(&self) -> (Vec<usize>, Vec<f64>);
}

impl Numbers for Tensor {
    fn numbers(&self) -> (Vec<usize>, Vec<f64>) {
        let values = || self.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1();
        (self.dims().to_vec(), values().unwrap_or_else(|error| panic!("a tensor that cannot be read: {error}")))
    }
}

impl<T: Copy + Into<f64>> Numbers for [T] {
    fn numbers(&self) -> (Vec<usize>, Vec<f64>) {
        (vec![self.len()], self.iter().map(|value| (*value).into()).collect())
    }
}

impl<T: Copy + Into<f64>, const N: usize> Numbers for [T; N] {
    fn numbers(&self) -> (Vec<usize>, Vec<f64>) {
        self[..].numbers()
    }
}

impl<T: Copy + Into<f64>> Numbers for Vec<T> {
    fn numbers(&self) -> (Vec<usize>, Vec<f64>) {
        self[..].numbers()
    }
}

impl Numbers for f32 {
    fn numbers(&self) -> (Vec<usize>, Vec<f64>) {
        f64::from(*self).numbers()
    }
}

impl Numbers for f64 {
    fn numbers(&self) -> (Vec<usize>, Vec<f64>) {
        (Vec::new(), vec![*self])
    }
}

impl<N: Numbers + ?Sized> Numbers for &N {
    fn numbers(&self) -> (Vec<usize>, Vec<f64>) {
        (**self).numbers()
    }
}

/// Panics unless every value is as close to the expected one as `tolerance` asks, and both sides are numbers of the same
/// shape. Says where the worst value is and how far off.
#[track_caller]
pub fn assert_close(actual: impl Numbers, expected: impl Numbers, tolerance: Tolerance) -> Distance {
    compare(actual, expected, tolerance).unwrap_or_else(|mismatch| panic!("{mismatch}"))
}

/// The same for one case of several; the message begins with its name.
#[track_caller]
pub fn assert_close_case(
    case: impl Display,
    actual: impl Numbers,
    expected: impl Numbers,
    tolerance: Tolerance,
) -> Distance {
    compare(actual, expected, tolerance).unwrap_or_else(|mismatch| panic!("{case}: {mismatch}"))
}

/// Panics unless both sides are numbers of the same shape and some value is farther off than `tolerance`: what shows that
/// another comparison proves something.
#[track_caller]
pub fn assert_not_close(actual: impl Numbers, expected: impl Numbers, tolerance: Tolerance) {
    match compare(actual, expected, tolerance) {
        Ok(Distance { difference, largest }) => {
            panic!("the same within {tolerance:?}: at most {difference:e} apart, largest expected value {largest:e}")
        }
        Err(Mismatch::TooFar { .. }) => {}
        Err(mismatch) => panic!("{mismatch}"),
    }
}

/// How far two sets of numbers are apart, for tests that compare distances. Fails if a
/// value is not finite, if shapes differ, or if there is nothing to compare.
pub fn distance(actual: impl Numbers, expected: impl Numbers) -> Result<Distance, Mismatch> {
    Compared::new(actual, expected).map(|compared| compared.distance)
}

/// What [`assert_close`] asserts, for tests that collect mismatches.
pub fn compare(actual: impl Numbers, expected: impl Numbers, tolerance: Tolerance) -> Result<Distance, Mismatch> {
    for bound in [tolerance.absolute, tolerance.of_largest] {
        if !bound.is_finite() || bound < 0.0 {
            return Err(Mismatch::Tolerance(bound));
        }
    }
    let compared = Compared::new(actual, expected)?;
    let Distance { difference, largest } = compared.distance;
    if largest == 0.0 && tolerance.absolute == 0.0 && tolerance.of_largest > 0.0 {
        return Err(Mismatch::Zeros);
    }
    let allowed = tolerance.absolute.max(tolerance.of_largest * largest);
    if difference <= allowed {
        return Ok(compared.distance);
    }
    Err(Mismatch::TooFar {
        at: index(&compared.shape, compared.worst),
        actual: compared.actual[compared.worst],
        expected: compared.expected[compared.worst],
        allowed,
        largest,
        count: compared.differences().filter(|difference| *difference > allowed).count(),
        of: compared.actual.len(),
    })
}

/// Finite numbers of one shape.
struct Compared {
    shape: Vec<usize>,
    actual: Vec<f64>,
    expected: Vec<f64>,
    /// Where the difference is largest, in row-major order.
    worst: usize,
    distance: Distance,
}

impl Compared {
    fn new(actual: impl Numbers, expected: impl Numbers) -> Result<Self, Mismatch> {
        let ((shape, actual), (expected_shape, expected)) = (actual.numbers(), expected.numbers());
        if shape != expected_shape {
            return Err(Mismatch::Shapes(shape, expected_shape));
        }
        if actual.is_empty() {
            return Err(Mismatch::Empty);
        }
        let not_finite = |values: &[f64]| values.iter().position(|value| !value.is_finite());
        if let Some(at) = not_finite(&expected) {
            return Err(Mismatch::Expected(index(&shape, at), expected[at]));
        }
        if let Some(at) = not_finite(&actual) {
            return Err(Mismatch::Actual(index(&shape, at), actual[at]));
        }
        // Every value is finite from here on, so a maximum misses nothing.
        let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let distance = Distance { difference: 0.0, largest };
        let mut compared = Self { shape, actual, expected, worst: 0, distance };
        let farther = |a: (usize, f64), b: (usize, f64)| if b.1 > a.1 { b } else { a };
        (compared.worst, compared.distance.difference) = compared.differences().enumerate().fold((0, 0.0), farther);
        Ok(compared)
    }

    fn differences(&self) -> impl Iterator<Item = f64> {
        self.actual.iter().zip(&self.expected).map(|(actual, expected)| (actual - expected).abs())
    }
}

/// The index in each dimension of the value at `at` in row-major order.
fn index(shape: &[usize], mut at: usize) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|size| {
            let here = at % size;
            at /= size;
            here
        })
        .collect();
    index.reverse();
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOSE: Tolerance = Tolerance::absolute(1e9);

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).expect("a tensor")
    }

    #[track_caller]
    fn refused(actual: impl Numbers, expected: impl Numbers, tolerance: Tolerance, message: &str) {
        let mismatch = compare(actual, expected, tolerance).expect_err("they are not close");
        assert_eq!(mismatch.to_string(), message);
    }

    #[test]
    fn what_is_no_finite_number_is_not_close_to_anything() {
        for (value, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            // Not the first: candle's `max` would step over it. And last: a fold with `f32::max` would drop it.
            for at in [0, 1, 3] {
                let good = tensor(&[1.0, 2.0, 3.0, 4.0], &[2, 2]);
                let mut values = [1.0, 2.0, 3.0, 4.0];
                values[at] = value;
                let bad = tensor(&values, &[2, 2]);
                let place = [at / 2, at % 2];
                refused(&bad, &good, LOOSE, &format!("the actual value at {place:?} is {name}"));
                refused(&good, &bad, LOOSE, &format!("the expected value at {place:?} is {name}"));
                // Equal on both sides is no better.
                refused(&bad, &bad, LOOSE, &format!("the expected value at {place:?} is {name}"));
            }
            refused([value; 3], [value; 3], LOOSE, &format!("the expected value at [0] is {name}"));
            refused(value, 1.0, LOOSE, &format!("the actual value at [] is {name}"));
        }
    }

    #[test]
    fn shapes_must_be_the_same() {
        let flat = tensor(&[1.0, 2.0, 3.0, 4.0], &[4]);
        refused(flat.reshape((2, 2)).expect("a square"), &flat, LOOSE, "shape [2, 2], expected [4]");
        refused([1.0, 2.0], [1.0], LOOSE, "shape [2], expected [1]");
        refused(1.0, [1.0], LOOSE, "shape [], expected [1]");
    }

    #[test]
    fn nothing_is_not_close_to_nothing() {
        refused([0f32; 0], [0f32; 0], LOOSE, "there are no values to compare");
        refused(tensor(&[], &[2, 0]), tensor(&[], &[2, 0]), LOOSE, "there are no values to compare");
    }

    #[test]
    fn a_tolerance_must_mean_something() {
        for (bound, name) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (-1e-3, "-1e-3")] {
            let message = format!("a tolerance of {name} means nothing");
            refused(1.0, 1.0, Tolerance::absolute(bound), &message);
            refused(1.0, 1.0, Tolerance::of_largest(bound), &message);
            refused(1.0, 1.0, Tolerance::of_largest(0.1).or_absolute(bound), &message);
        }
        let message = "only zeros are expected: give an absolute tolerance";
        refused([0.0, 0.0], [0.0, -0.0], Tolerance::of_largest(0.1), message);
        assert_close([0.0, 1e-9], [0.0, 0.0], Tolerance::of_largest(0.1).or_absolute(1e-8));
    }

    #[test]
    fn the_message_says_where_and_how_far() {
        let expected = tensor(&[1.0, -2.0, 3.0, -4.0, 0.5, 0.0], &[1, 3, 2]);
        let actual = tensor(&[1.0, -2.0, 3.25, -4.0, 0.0, 0.125], &[1, 3, 2]);
        let message = "at [0, 2, 0]: 0e0, expected 5e-1: 5e-1 off, allowed 2e-1; largest expected value 4e0; \
                       2 of 6 values are too far off";
        refused(&actual, &expected, Tolerance::of_largest(0.05), message);
        refused(&actual, &expected, Tolerance::absolute(0.2), message);
    }

    #[test]
    #[should_panic(expected = "at [1]: 1.5e0, expected 2e0: 5e-1 off, allowed 1e-1; largest expected value 2e0")]
    fn an_assertion_panics_with_the_message() {
        assert_close([1.0, 1.5], [1.0, 2.0], Tolerance::absolute(0.1));
    }

    #[test]
    #[should_panic(expected = "the second case: the actual value at [] is NaN")]
    fn an_assertion_names_its_case() {
        assert_close_case("the second case", f32::NAN, 0.0, LOOSE);
    }

    #[test]
    #[should_panic(expected = "the actual value at [1] is NaN")]
    fn what_is_no_number_is_not_far_either() {
        assert_not_close([9.0, f32::NAN], [1.0, 2.0], Tolerance::EXACT);
    }

    #[test]
    #[should_panic(expected = "at most 5e-1 apart, largest expected value 2e0")]
    fn what_is_close_is_not_far() {
        assert_not_close([1.0, 1.5], [1.0, 2.0], Tolerance::of_largest(0.25));
    }

    #[test]
    fn a_distance_is_of_numbers_alone() {
        let apart = distance([1.0, -4.0], [1.5, -4.0]).expect("a distance");
        assert_eq!((apart.difference, apart.largest, apart.of_largest()), (0.5, 4.0, 0.125));
        assert_eq!(
            distance([1.0, f32::NAN], [1.0, 2.0]).expect_err("NaN").to_string(),
            "the actual value at [1] is NaN"
        );
        assert_eq!(distance([1.0], [1.0, 2.0]).expect_err("shapes"), Mismatch::Shapes(vec![1], vec![2]));
    }

    #[test]
    fn what_is_close_enough_passes() {
        let expected = tensor(&[1.0, -2.0, 4.0], &[3]);
        let actual = tensor(&[1.25, -2.0, 4.0], &[3]);
        let distance = assert_close(&actual, &expected, Tolerance::absolute(0.25));
        assert_eq!((distance.difference, distance.largest), (0.25, 4.0));
        assert_close(&actual, &expected, Tolerance::of_largest(1.0 / 16.0));
        assert_close(&actual, &actual, Tolerance::EXACT);
        assert_close(&actual, [1.25f32, -2.0, 4.0], Tolerance::EXACT);
        let half = expected.to_dtype(DType::BF16).expect("bf16");
        assert_close(&half, vec![1i8, -2, 4], Tolerance::EXACT);
        assert_close(0.1f32, 0.1, Tolerance::absolute(1e-8));
        assert_not_close(&actual, &expected, Tolerance::absolute(0.2));
    }
}
