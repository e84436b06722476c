//! Noise against `torch.randn`.

use instaflow_engine::flow::noise::randn;
use instaflow_test_support::{Tolerance, assert_close_case, fixture};

#[test]
fn noise_equals_torch_randn() {
    let bytes = std::fs::read(fixture("expected.safetensors")).unwrap();
    let expected = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut checked = 0;
    for (name, tensor) in expected.iter() {
        // `randn_seed_S_SHAPE`
        let Some(rest) = name.strip_prefix("randn_seed_") else { continue };
        let seed = rest.split('_').next().unwrap().parse().unwrap();
        let torchs: Vec<f32> =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_close_case(name, randn(seed, tensor.shape()), torchs, Tolerance::absolute(1e-6));
        checked += 1;
    }
    assert!(checked >= 3, "the reference holds {checked} noise tensors");
}
