//! The window by accessible label.
