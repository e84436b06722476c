//! U-Net
