//! Rectified flow: the noise that a picture starts from, Euler steps along the velocity, and the velocity of a piecewise
//! rectified flow.

pub mod noise;

pub mod euler;

pub mod windows;
