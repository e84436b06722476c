//! Files of every kind: those that other programs wrote (`tests/fixtures/more`), and headers alone for those that are too
//! large to keep.

use std::path::PathBuf;

use instaflow_test_support::{assert_error, more};
use serde_json::{Map, json};
use tempfile::TempDir;

use super::*;

/// A file with these tensors, all zero.
fn file(tensors: &[(&str, &[usize])], remarks: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let mut header = Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<usize>();
        header.insert((*name).into(), json!({"dtype": "U8", "shape": shape, "data_offsets": [start, end]}));
    }
    if !remarks.is_empty() {
        let remarks: Map<_, _> = remarks.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        header.insert("__metadata__".into(), remarks.into());
    }
    let header = serde_json::Value::from(header).to_string();
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("file.safetensors");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    std::fs::write(&path, &bytes).expect("a folder that can be written");
    // A sparse file: the tensors need no room.
    let opened = std::fs::OpenOptions::new().write(true).open(&path).expect("the file");
    opened.set_len((bytes.len() + end) as u64).expect("room");
    (folder, path)
}

fn classified(tensors: &[(&str, &[usize])], remarks: &[(&str, &str)]) -> FileKind {
    let (_folder, path) = file(tensors, remarks);
    classify(&path).expect("a good file")
}

#[test]
fn files_of_other_programs_are_what_they_are() {
    let cases = [
        ("single_file/full_with_junk", Kind::Checkpoint, true),
        ("single_file/micro_unet_only", Kind::UNet, true),
        ("single_file/micro_ema", Kind::Checkpoint, true),
        ("single_file/vae_bare", Kind::Vae, true),
    ];
    for (name, kind, usable) in cases {
        let file = classify(&more(&format!("{name}.safetensors"))).expect(name);
        assert_eq!(file.kind, kind, "{name}");
        assert_eq!(file.unusable.is_none(), usable, "{name}: {:?}", file.unusable);
    }
    let full = classify(&more("single_file/full_with_junk.safetensors")).expect("it is good");
    assert_eq!(full.parts, Parts { text_encoder: true, unet: true, vae: true });
    assert_eq!((full.in_channels, full.has_ema), (Some(4), false), "two keys of an average are no average");
    assert_eq!(full.title.as_deref(), Some("tiny-sd"));
    let ema = classify(&more("single_file/micro_ema.safetensors")).expect("it is good");
    assert_eq!(ema.parts, Parts { text_encoder: false, unet: true, vae: true });
    assert!(ema.has_ema);
}

#[test]
fn bases_are_told_by_the_width_of_their_text() {
    let key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight";
    let deep = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight";
    let first = "model.diffusion_model.input_blocks.0.0.weight";
    let vae =
        [("first_stage_model.decoder.conv_in.weight", &[8, 4, 3, 3][..]), ("first_stage_model.decoder.up.0.a", &[1])];
    for (key, width, channels, base, says) in [
        (key, 768, 4, Base::Sd1, None),
        (key, 1024, 4, Base::Sd2, None),
        (key, 768, 9, Base::Sd1, Some("inpainting")),
        (key, 768, 8, Base::Sd1, Some("by words")),
        (key, 1024, 5, Base::Sd2, Some("depth")),
        (deep, 2048, 4, Base::Sdxl, Some("is for Stable Diffusion XL, which")),
        (deep, 1280, 4, Base::SdxlRefiner, Some("refiner")),
        (key, 16, 4, Base::Unknown, None),
    ] {
        let unet: [(&str, &[usize]); 2] = [(key, &[8, width]), (first, &[8, channels, 3, 3])];
        let file = classified(&[&unet[..], &vae[..]].concat(), &[]);
        assert_eq!((file.kind, file.base, file.in_channels), (Kind::Checkpoint, base, Some(channels)), "{width}");
        let unusable = file.unusable.unwrap_or_default();
        assert_eq!(unusable.is_empty(), says.is_none(), "{unusable}");
        assert!(unusable.contains(says.unwrap_or_default()), "{unusable}");
    }
    let flux = [("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", &[4, 4][..])];
    assert_eq!((classified(&flux, &[]).kind, classified(&flux, &[]).base), (Kind::UNet, Base::Flux));
    let sd3 = [("model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight", &[4, 4][..])];
    assert_eq!(classified(&sd3, &[]).base, Base::Sd3);
}

/// Names and shapes, made for a test.
type Tensors = Vec<(String, Vec<usize>)>;

/// Names and shapes.
type Entries<'a> = &'a [(&'a str, &'a [usize])];

#[test]
fn loras_have_families_and_bases() {
    let to_k = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
    let dots = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k";
    let conv = "lora_unet_down_blocks_0_resnets_0_conv1";
    let of = |entries: &[(&str, &str, &[usize])]| -> Tensors {
        entries.iter().map(|(layer, end, shape)| (format!("{layer}.{end}"), shape.to_vec())).collect()
    };
    let cases: Vec<(Tensors, LoraFamily, Base)> = vec![
        (
            of(&[(to_k, "lora_down.weight", &[4, 768]), (to_k, "lora_up.weight", &[320, 4])]),
            LoraFamily::Lora,
            Base::Sd1,
        ),
        (of(&[(to_k, "lora_down.weight", &[4, 1024])]), LoraFamily::Lora, Base::Sd2),
        (of(&[(to_k, "lora_down.weight", &[4, 2048])]), LoraFamily::Lora, Base::Sdxl),
        (
            of(&[(to_k, "lora_down.weight", &[4, 768]), (conv, "lora_down.weight", &[4, 320, 3, 3])]),
            LoraFamily::LoCon,
            Base::Sd1,
        ),
        (of(&[(dots, "lora_A.weight", &[4, 768])]), LoraFamily::Lora, Base::Sd1),
        (
            of(&[(dots, "lora_A.weight", &[4, 768]), (dots, "lora_magnitude_vector", &[320])]),
            LoraFamily::Dora,
            Base::Sd1,
        ),
        (of(&[(dots, "lora.down.weight", &[4, 768])]), LoraFamily::Lora, Base::Sd1),
        (of(&[(to_k, "hada_w1_a", &[320, 4]), (to_k, "hada_w1_b", &[4, 768])]), LoraFamily::LoHa, Base::Sd1),
        (
            of(&[(to_k, "lokr_w1", &[8, 8]), (to_k, "lokr_w2_a", &[40, 4]), (to_k, "lokr_w2_b", &[4, 96])]),
            LoraFamily::LoKr,
            Base::Sd1,
        ),
        (of(&[(to_k, "oft_blocks", &[4, 80, 80])]), LoraFamily::Oft, Base::Unknown),
        (of(&[(to_k, "oft_blocks", &[2, 4, 80, 80])]), LoraFamily::Boft, Base::Unknown),
        (of(&[(to_k, "weight", &[1]), (to_k, "on_input", &[1])]), LoraFamily::Ia3, Base::Unknown),
        (of(&[(to_k, "diff", &[320, 768])]), LoraFamily::Full, Base::Sd1),
        (of(&[("lora_unet_double_blocks_0_img_attn_proj", "lora_down.weight", &[4, 8])]), LoraFamily::Lora, Base::Flux),
        (of(&[("lora_te2_x", "lora_down.weight", &[4, 8])]), LoraFamily::Lora, Base::Sdxl),
    ];
    for (tensors, family, base) in cases {
        let borrowed: Vec<(&str, &[usize])> = tensors.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
        let file = classified(&borrowed, &[]);
        assert_eq!((file.kind, file.base), (Kind::Lora(family), base), "{borrowed:?}");
    }
    let numbered = classified(&[("unet:0:up", &[4, 2]), ("unet:0:down", &[2, 4])], &[]);
    assert_eq!(numbered.kind, Kind::Lora(LoraFamily::CloneOfSimo));
    assert_eq!(numbered.unusable, None);
    let told = classified(&[("lora_unet_x.lora_down.weight", &[4, 8])], &[("ss_base_model_version", "sd_v1")]);
    assert_eq!(told.base, Base::Sd1);
}

#[test]
fn every_other_kind_is_known_by_its_names() {
    let cases: [(Entries<'_>, Kind); 16] = [
        (&[("lora_controlnet", &[]), ("input_blocks.0.0.weight", &[8, 4, 3, 3])], Kind::ControlLora),
        (&[("control_model.input_blocks.0.0.weight", &[8, 4, 3, 3])], Kind::ControlNet),
        (
            &[("controlnet_cond_embedding.conv_in.weight", &[8, 3, 3, 3]), ("conv_in.weight", &[8, 4, 3, 3])],
            Kind::ControlNet,
        ),
        (&[("adapter.body.0.block1.weight", &[8, 8, 3, 3])], Kind::T2iAdapter),
        (&[("body.0.resnets.0.block1.weight", &[8, 8, 3, 3])], Kind::T2iAdapter),
        (&[("model.1.sub.0.RDB1.conv1.0.weight", &[8, 8, 3, 3])], Kind::Upscaler),
        (&[("body.0.rdb1.conv1.weight", &[8, 8, 3, 3])], Kind::Upscaler),
        (&[("body.0.weight", &[8, 3, 3, 3]), ("body.1.weight", &[8])], Kind::Upscaler),
        (&[("layers.0.residual_group.blocks.0.norm1.weight", &[8])], Kind::Upscaler),
        (&[("1.weight", &[64, 4, 3, 3]), ("3.conv.0.weight", &[64, 64, 3, 3])], Kind::TinyAutoencoder),
        (
            &[("decoder.layers.0.weight", &[64, 4, 3, 3]), ("decoder.layers.2.conv.0.weight", &[8])],
            Kind::TinyAutoencoder,
        ),
        (&[("decoder.conv_in.weight", &[8, 4, 3, 3]), ("decoder.up_blocks.0.a", &[1])], Kind::Vae),
        (&[("text_model.encoder.layers.0.a", &[1])], Kind::TextEncoder),
        (&[("emb_params", &[2, 768])], Kind::TextualInversion),
        (&[("<cat-toy>", &[768])], Kind::TextualInversion),
        (&[("something", &[2, 3, 4])], Kind::Unknown),
    ];
    for (tensors, kind) in cases {
        assert_eq!(classified(tensors, &[]).kind, kind, "{tensors:?}");
    }
    assert_eq!(classified(&[("emb_params", &[2, 1024])], &[]).base, Base::Sd2);
    let pair: [(&str, &[usize]); 2] = [("clip_l", &[2, 768]), ("clip_g", &[2, 1280])];
    assert_eq!((classified(&pair, &[]).kind, classified(&pair, &[]).base), (Kind::TextualInversion, Base::Sdxl));
}

#[test]
fn what_is_no_safetensors_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a folder that can be written");
        path
    };
    for ending in ["ckpt", "bin", "PT", "pth", "pkl"] {
        assert_error(classify(&write(&format!("model.{ending}"), b"")), "can run code");
    }
    for (bytes, says) in [
        (&b""[..], "only 0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!doctype html><html>", "web page"),
        (&[0xff; 64], "claims a header"),
        (&1000u64.to_le_bytes(), "ends within its header"),
        (b"\x02\0\0\0\0\0\0\0{}more", "4 bytes that its header does not list"),
        (b"\x02\0\0\0\0\0\0\0{{", "not valid"),
    ] {
        assert_error(classify(&write("model.safetensors", bytes)), says);
    }
    assert_error(classify(folder.path()), "not a regular file");
    assert_error(classify(&folder.path().join("absent.safetensors")), "cannot read");
    let (_folder, path) = file(&[("a", &[8])], &[]);
    let opened = std::fs::OpenOptions::new().write(true).open(&path).expect("the file");
    opened.set_len(std::fs::metadata(&path).expect("it is there").len() - 1).expect("room");
    assert_error(classify(&path), "cut short");
}
