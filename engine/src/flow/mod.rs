//! Rectified flow: the noise that a picture starts from, and Euler steps along the velocity.

pub mod noise;

pub mod euler;
