//! The few operations that candle lacks or does slowly on a CPU, as candle custom ops, forward and backward.
//!
//! Everything here takes and gives candle tensors in candle's own layout, knows nothing of models, and stands beside a
//! plain version of itself (`reference`) that the tests hold it to. On a CPU in f32 the fast version runs; on any other
//! device or dtype the same function is a chain of candle's own operations.
