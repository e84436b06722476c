//! open and draw, synchronously
