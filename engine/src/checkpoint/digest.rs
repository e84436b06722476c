//! A digest of a component's contents: equal contents give equal digests.

use std::fmt::Write;

use serde_json::Value;

use super::tensors::Tensors;

/// A tensor of at most this many bytes is hashed whole.
const WHOLE: usize = SAMPLES * SAMPLE_BYTES;

/// How many samples of a larger tensor are hashed, spread evenly from its first byte to its last.
const SAMPLES: usize = 4;

/// Bytes of one sample.
const SAMPLE_BYTES: usize = 1024;

/// 32 hex digits for a component: its config, and the name, type, shape and some of the values of every tensor. Training,
/// even of a low-rank kind, changes every part of a tensor, so a sample tells models apart; reading all of a U-Net would
/// take as long as loading it. This is no protection against forgery.
///
/// The digest does not depend on the files' names, on how they are sharded, or on the config's notes about who wrote it.
pub(super) fn component(config: &Value, tensors: &Tensors) -> String {
    let mut digest = Fnv::new();
    let mut canonical = String::new();
    write_sorted(config, &mut canonical);
    digest.update(canonical.as_bytes());
    for (name, stored) in tensors.iter() {
        digest.update(format!("{name} {} {:?} ", stored.dtype, stored.shape).as_bytes());
        if let Some(scale) = stored.scale {
            digest.update(&scale.to_le_bytes());
        }
        let bytes = tensors.bytes(stored);
        if bytes.len() <= WHOLE {
            digest.update(bytes);
        } else {
            for sample in 0..SAMPLES {
                let start = (bytes.len() - SAMPLE_BYTES) / (SAMPLES - 1) * sample;
                digest.update(&bytes[start..start + SAMPLE_BYTES]);
            }
        }
    }
    digest.hex()
}

/// One digest of several.
pub(super) fn combine<'a>(digests: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Fnv::new();
    for part in digests {
        digest.update(part.as_bytes());
    }
    digest.hex()
}

/// Writes JSON with sorted keys and without those that say where a config came from (`_diffusers_version` and so on).
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                let provenance = key.starts_with('_') && key != "_class_name" || key == "transformers_version";
                if !provenance {
                    let _ = write!(out, "{key:?}:");
                    write_sorted(value, out);
                    out.push(',');
                }
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for value in values {
                write_sorted(value, out);
                out.push(',');
            }
            out.push(']');
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// FNV-1a with 128 bits (Fowler, Noll & Vo): the same on every platform and in every version.
struct Fnv(u128);

impl Fnv {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    fn hex(&self) -> String {
        format!("{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // Test vectors of the authors' reference code.
        assert_eq!(combine([""]), "6c62272e07bb014262b821756295c58d");
        assert_eq!(combine(["a"]), "d228cb696f1a8caf78912b704e4a8964");
    }

    #[test]
    fn the_order_of_keys_plays_no_part() {
        let sorted = |text: &str| {
            let mut out = String::new();
            write_sorted(&serde_json::from_str(text).unwrap(), &mut out);
            out
        };
        assert_eq!(sorted(r#"{"b":[1,null],"a":"x","_v":2}"#), sorted(r#"{"a":"x","b":[1,null]}"#));
        assert_ne!(sorted(r#"{"a":"x"}"#), sorted(r#"{"a":"y"}"#));
    }
}
