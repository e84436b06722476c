//! Noise against `torch.randn`.

use instaflow_engine::flow::noise::randn;

const TOLERANCE: f32 = 1e-6;

#[test]
fn noise_equals_torch_randn() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tiny-sd/expected.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let expected = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut checked = 0;
    for (name, tensor) in expected.iter() {
        // `randn_seed_S_SHAPE`
        let Some(rest) = name.strip_prefix("randn_seed_") else { continue };
        let seed = rest.split('_').next().unwrap().parse().unwrap();
        let want = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let got = randn(seed, tensor.shape());
        assert_eq!(got.len(), want.len(), "{name}");
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            assert!((got - want).abs() <= TOLERANCE, "{name}[{i}]: {got}, torch has {want}");
        }
        checked += 1;
    }
    assert!(checked >= 3, "the reference holds {checked} noise tensors");
}
