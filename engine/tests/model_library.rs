//! Models on a disk: folders laid out like those of other programs, with tiny files of every kind.

use std::fs;
use std::path::{Path, PathBuf};

use instaflow_engine::Cancel;
use instaflow_engine::checkpoint::Base;
use instaflow_engine::model_library::{
    FoundModel, Place, Program, Scan, ScanEvent, Thumbnail, known_places, places_in, scan,
};
use instaflow_test_support::{copy_folder, fixture};
use tempfile::TempDir;

/// Writes a safetensors file with tensors of these shapes, all zero, in f16.
fn write(path: &Path, tensors: &[(&str, &[usize])], metadata: &[(&str, &str)]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        let metadata: serde_json::Map<_, _> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        header.insert("__metadata__".to_owned(), metadata.into());
    }
    let mut end = 0;
    for (name, shape) in tensors {
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        let entry = serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).expect("JSON");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.resize(bytes.len() + end, 0);
    fs::write(path, bytes).expect("written");
}

type Tensors = &'static [(&'static str, &'static [usize])];

const CHECKPOINT: Tensors = &[
    ("model.diffusion_model.input_blocks.0.0.weight", &[2, 4, 3, 3]),
    ("model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", &[1, 768]),
    ("model.diffusion_model.middle_block.1.norm.weight", &[1]),
    ("first_stage_model.decoder.conv_in.weight", &[1, 4, 3, 3]),
    ("first_stage_model.decoder.up.0.block.0.norm1.weight", &[1]),
    ("cond_stage_model.transformer.text_model.embeddings.position_ids", &[1]),
];

const INPAINTING: Tensors = &[
    ("model.diffusion_model.input_blocks.0.0.weight", &[2, 9, 3, 3]),
    ("model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", &[1, 768]),
    ("model.diffusion_model.middle_block.1.norm.weight", &[1]),
    ("cond_stage_model.transformer.text_model.embeddings.position_ids", &[1]),
];

const SDXL: Tensors = &[
    ("model.diffusion_model.input_blocks.0.0.weight", &[2, 4, 3, 3]),
    ("model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", &[1, 2048]),
    ("conditioner.embedders.0.transformer.text_model.embeddings.position_ids", &[1]),
];

const UNET: Tensors = &[
    ("input_blocks.0.0.weight", &[2, 4, 3, 3]),
    ("input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", &[1, 768]),
];

const VAE: Tensors = &[("decoder.conv_in.weight", &[1, 4, 3, 3]), ("decoder.up.0.block.0.norm1.weight", &[1])];

const TINY: Tensors = &[("decoder.layers.0.weight", &[2, 4, 3, 3]), ("decoder.layers.2.conv.0.weight", &[2, 2, 3, 3])];

const LORA: Tensors = &[
    ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", &[1, 768]),
    ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight", &[320, 1]),
];

const LOHA: Tensors = &[
    ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_a", &[320, 1]),
    ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_b", &[1, 768]),
];

const CONTROLNET: Tensors =
    &[("control_model.input_hint_block.0.weight", &[1, 3, 3, 3]), ("control_model.time_embed.0.weight", &[1, 1])];

const ESRGAN: Tensors = &[("model.1.sub.0.RDB1.conv1.0.weight", &[1, 1, 3, 3])];

fn scanned(folder: &Path) -> Scan {
    let (places, warnings) = places_in(folder);
    assert_eq!(warnings, Vec::<String>::new());
    scan(&places, &mut |_| {}, &Cancel::default()).expect("a scan")
}

/// The model at this path below `root`.
#[track_caller]
fn at<'a>(scan: &'a Scan, root: &Path, path: &str) -> &'a FoundModel {
    let found = scan.models.iter().find(|model| model.path == root.join(path));
    found.unwrap_or_else(|| panic!("{path} is not among {:#?}", scan.models))
}

/// A tree like A1111's with twenty files.
fn a1111(root: &Path) {
    for (path, tensors) in [
        ("models/Stable-diffusion/hills.safetensors", CHECKPOINT),
        ("models/Stable-diffusion/more/inpainting.safetensors", INPAINTING),
        ("models/Stable-diffusion/xl.safetensors", SDXL),
        ("models/Stable-diffusion/unet.safetensors", UNET),
        ("models/VAE/vae.safetensors", VAE),
        ("models/VAE-approx/tiny.safetensors", TINY),
        ("models/Lora/plain.safetensors", LORA),
        ("models/Lora/loha.safetensors", LOHA),
        ("models/LyCORIS/other.safetensors", LOHA),
        ("models/ControlNet/control.safetensors", CONTROLNET),
        ("models/ESRGAN/x4.safetensors", ESRGAN),
        ("embeddings/word.safetensors", &[("emb_params", &[2, 768])]),
        ("embeddings/word2.safetensors", &[("emb_params", &[2, 1024])]),
        ("models/Lora/strange.safetensors", &[("a.b.c", &[3, 3, 3])]),
    ] {
        write(&root.join(path), tensors, &[]);
    }
    let metadata = [
        ("modelspec.title", "Lakes at dusk"),
        ("modelspec.trigger_phrase", "dusk, lake"),
        ("modelspec.thumbnail", "data:image/jpeg;base64,/9j/4AAQ"),
    ];
    write(&root.join("models/Lora/told.safetensors"), LORA, &metadata);
    for (path, text) in [
        ("models/Stable-diffusion/old.ckpt", "PK"),
        ("models/Stable-diffusion/cut.safetensors", "\u{10}\0\0\0\0\0\0\0{\"a\""),
        ("models/Stable-diffusion/page.safetensors", "<!doctype html><html></html>"),
        ("models/ESRGAN/x2.pth", "PK"),
        ("embeddings/old.pt", "PK"),
        ("models/Lora/plain.json", r#"{"activation text": "plain hills"}"#),
        ("models/Lora/plain.preview.png", ""),
        ("models/Stable-diffusion/Put Stable Diffusion checkpoints here.txt", ""),
        ("venv/lib/torch.bin", "no model"),
        ("outputs/a.png", ""),
    ] {
        fs::create_dir_all(root.join(path).parent().expect("a folder")).expect("made");
        fs::write(root.join(path), text).expect("written");
    }
}

#[test]
fn a_tree_like_a1111s_is_read_file_by_file() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path();
    a1111(root);
    let scan = scanned(root);
    assert_eq!(scan.models.len(), 20, "{:#?}", scan.models.iter().map(|model| &model.path).collect::<Vec<_>>());
    assert!(scan.models.iter().all(|model| model.program == Program::A1111));
    for (path, kind, base, why) in [
        ("models/Stable-diffusion/hills.safetensors", "checkpoint", Base::Sd1, ""),
        ("models/Stable-diffusion/xl.safetensors", "checkpoint", Base::Sdxl, "Stable Diffusion XL"),
        ("models/Stable-diffusion/unet.safetensors", "U-Net", Base::Sd1, ""),
        ("models/VAE/vae.safetensors", "VAE", Base::Unknown, ""),
        ("models/VAE-approx/tiny.safetensors", "tiny autoencoder", Base::Unknown, ""),
        ("models/Lora/plain.safetensors", "LoRA", Base::Sd1, ""),
        ("models/Lora/loha.safetensors", "LoHa", Base::Sd1, ""),
        ("embeddings/word.safetensors", "textual inversion", Base::Sd1, ""),
        ("embeddings/word2.safetensors", "textual inversion", Base::Sd2, ""),
        ("models/Lora/strange.safetensors", "unknown file", Base::Unknown, "does not know"),
        ("models/Stable-diffusion/old.ckpt", "unknown file", Base::Unknown, "can run code"),
        ("embeddings/old.pt", "unknown file", Base::Unknown, "can run code"),
        ("models/ESRGAN/x2.pth", "unknown file", Base::Unknown, "can run code"),
    ] {
        let model = at(&scan, root, path);
        assert_eq!(model.kind.name(), kind, "{path}");
        let vae = ["VAE", "tiny autoencoder"].contains(&kind);
        assert!(vae || model.base == base, "{path}: {:?}", model.base);
        let unusable = model.unusable.as_deref().unwrap_or_default();
        assert!(unusable.contains(why) && unusable.is_empty() == why.is_empty(), "{path}: {unusable:?}");
    }
    for path in ["cut", "page"] {
        let model = at(&scan, root, &format!("models/Stable-diffusion/{path}.safetensors"));
        assert!(model.unusable.is_some(), "{path}");
    }
    assert_eq!(at(&scan, root, "models/ControlNet/control.safetensors").kind.name(), "ControlNet");
    assert_eq!(at(&scan, root, "models/ESRGAN/x4.safetensors").kind.name(), "upscaler");

    let told = at(&scan, root, "models/Lora/told.safetensors");
    assert_eq!((told.name.as_str(), told.title.as_deref()), ("Lakes at dusk", Some("Lakes at dusk")));
    assert!(told.trigger_words.join(", ").contains("lake"), "{:?}", told.trigger_words);
    assert!(matches!(&told.thumbnail, Some(Thumbnail::Embedded(uri)) if uri.starts_with("data:image/jpeg")));
    let plain = at(&scan, root, "models/Lora/plain.safetensors");
    assert_eq!(plain.trigger_words, ["plain hills"]);
    assert_eq!(plain.thumbnail, Some(Thumbnail::File(root.join("models/Lora/plain.preview.png"))));

    let found = |search: &str| scan.models.iter().filter(|model| model.matches(search)).count();
    assert_eq!((found("DUSK lakes"), found("plain hills lora"), found("dusk checkpoint"), found("")), (1, 1, 0, 20));
}

#[test]
fn comfyuis_list_leads_to_folders_elsewhere() {
    let folder = TempDir::new().expect("a folder");
    let (comfy, elsewhere) = (folder.path().join("ComfyUI"), folder.path().join("else where"));
    write(&comfy.join("models/checkpoints/own.safetensors"), CHECKPOINT, &[]);
    a1111(&elsewhere.join("webui"));
    write(&elsewhere.join("loras/third.safetensors"), LORA, &[]);
    let list = format!(
        "a111:\n    base_path: {}\n    checkpoints: models/Stable-diffusion\n    loras: |\n        models/Lora\n        \
         ../loras\n        absent\n    custom_nodes: nodes\n",
        elsewhere.join("webui").display()
    );
    fs::write(comfy.join("extra_model_paths.yaml"), list).expect("written");
    let scan = scanned(&comfy);
    let names: Vec<&str> = scan.models.iter().map(|model| model.name.as_str()).collect();
    for name in ["own", "hills", "plain", "third", "inpainting"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert!(!names.contains(&"word"), "embeddings are not in the list");
    assert!(scan.models.iter().all(|model| model.program == Program::ComfyUi));

    fs::write(comfy.join("extra_model_paths.yaml"), "a: [").expect("written");
    let (places, warnings) = places_in(&comfy);
    assert_eq!(places, [Place::new(Program::ComfyUi, comfy.join("models"))]);
    assert!(warnings[0].contains("is no list of folders"), "{warnings:?}");
}

#[test]
fn programs_are_known_by_their_folders() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path();
    let make = |path: &str| fs::create_dir_all(root.join(path)).expect("made");
    let fill = |path: &str, text: &str| {
        fs::create_dir_all(root.join(path).parent().expect("a folder")).expect("made");
        fs::write(root.join(path), text).expect("written");
    };
    let programs = |path: &str| -> Vec<(Program, PathBuf)> {
        places_in(&root.join(path)).0.into_iter().map(|place| (place.program, place.folder)).collect()
    };
    make("forge/models/Stable-diffusion");
    make("forge/embeddings");
    let forge = [root.join("forge/models"), root.join("forge/embeddings")].map(|path| (Program::A1111, path));
    assert_eq!(programs("forge"), forge);
    make("portable/ComfyUI/models/checkpoints");
    assert_eq!(programs("portable"), [(Program::ComfyUi, root.join("portable/ComfyUI/models"))]);
    fill("invoke/invokeai.yaml", "schema_version: 4\n");
    make("invoke/models/0b1c");
    assert_eq!(programs("invoke"), [(Program::InvokeAi, root.join("invoke/models"))]);
    make("matrix/Data/Models/StableDiffusion");
    assert_eq!(programs("matrix"), [(Program::StabilityMatrix, root.join("matrix/Data/Models"))]);
    make("swarm/Models/Lora");
    make("big disk");
    let settings = format!("Paths:\n\tModelRoot: Models;{}\n", root.join("big disk").display());
    fill("swarm/Data/Settings.fds", &settings);
    let swarm = [root.join("swarm/Models"), root.join("big disk")].map(|path| (Program::SwarmUi, path));
    assert_eq!(programs("swarm"), swarm);
    assert_eq!(programs("big disk"), [(Program::Folder, root.join("big disk"))]);

    // Where installers put them, and where variables and settings say.
    fill(
        "home/.config/StabilityMatrix/library.json",
        &serde_json::json!({"LibraryPath": root.join("matrix/Data"), "Version": 1}).to_string(),
    );
    make("home/stable-diffusion-webui/models/Stable-diffusion");
    make("home/ComfyUI/nothing of ComfyUI");
    let variable = |name: &str| (name == "INVOKEAI_ROOT").then(|| root.join("invoke").into_os_string());
    let (places, _) = known_places(&variable, Some(&root.join("home")));
    let known: Vec<Program> = places.iter().map(|place| place.program).collect();
    assert_eq!(known, [Program::InvokeAi, Program::StabilityMatrix, Program::A1111]);
}

#[cfg(unix)]
#[test]
fn links_in_circles_end_and_nothing_is_listed_twice() {
    use std::os::unix::fs::symlink;

    let folder = TempDir::new().expect("a folder");
    let root = folder.path();
    write(&root.join("a/one.safetensors"), LORA, &[]);
    symlink(root, root.join("a/round")).expect("linked");
    symlink(root.join("a/one.safetensors"), root.join("again.safetensors")).expect("linked");
    symlink(root.join("a"), root.join("b")).expect("linked");
    symlink(root.join("absent"), root.join("lost.safetensors")).expect("linked");
    let mut looked = 0;
    let mut on = |event: ScanEvent<'_>| looked += usize::from(matches!(event, ScanEvent::Looking { .. }));
    let places = [Place::new(Program::Folder, root), Place::new(Program::Folder, root.join("a"))];
    let scan = scan(&places, &mut on, &Cancel::default()).expect("a scan");
    assert_eq!((scan.models.len(), looked), (1, 2));
    assert!(scan.warnings[0].contains("lost.safetensors"), "{:?}", scan.warnings);

    let cancel = Cancel::default();
    cancel.cancel();
    assert!(instaflow_engine::model_library::scan(&places, &mut |_| {}, &cancel).is_err_and(|it| it.is_cancelled()));
}

#[cfg(unix)]
#[test]
fn model_folders_and_the_hubs_cache_are_one_model_each() {
    use std::os::unix::fs::symlink;

    let folder = TempDir::new().expect("a folder");
    let root = folder.path();
    copy_folder(&fixture("model"), &root.join("models/tiny"));
    copy_folder(&fixture("model"), &root.join("models/pair/student"));
    copy_folder(&fixture("model"), &root.join("models/pair/teacher"));
    copy_folder(&fixture("model"), &root.join("models/broken"));
    fs::remove_dir_all(root.join("models/broken/vae")).expect("removed");
    let repository = root.join("hub/models--example--tiny-hills");
    let commits = ["aaaa", "bbbb"].map(|commit| repository.join("snapshots").join(commit));
    for commit in &commits {
        copy_folder(&fixture("model"), commit);
    }
    fs::create_dir_all(repository.join("refs")).expect("made");
    fs::write(repository.join("refs/main"), "bbbb").expect("written");
    write(&root.join("hub/models--a--lora/blobs/1"), LORA, &[]);
    let lora = root.join("hub/models--a--lora/snapshots/cccc");
    fs::create_dir_all(&lora).expect("made");
    symlink("../../blobs/1", lora.join("weights.safetensors")).expect("linked");

    let found = scanned(&root.join("models"));
    let kinds: Vec<(&str, &str)> = found.models.iter().map(|model| (model.name.as_str(), model.kind.name())).collect();
    assert_eq!(kinds, [("broken", "model folder"), ("pair", "pair"), ("tiny", "model folder")]);
    let unusable: Vec<bool> = found.models.iter().map(|model| model.unusable.is_some()).collect();
    assert_eq!(unusable, [true, false, false], "{:#?}", found.models);
    assert!(found.models[2].bytes > 100_000 && found.models[1].bytes > found.models[2].bytes);

    let hub = scanned(&root.join("hub"));
    let names: Vec<(&str, &Path)> =
        hub.models.iter().map(|model| (model.name.as_str(), model.path.as_path())).collect();
    let weights = lora.join("weights.safetensors");
    assert_eq!(names, [("a/lora/weights", weights.as_path()), ("example/tiny-hills", commits[1].as_path())]);
}

/// `cargo test --release -p instaflow-engine --test main thousand -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: it prints how long a thousand files take"]
fn a_thousand_files_take_seconds() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path();
    // A checkpoint has about 1130 tensors; a LoRA about 800.
    let names: Vec<String> = (0..800).map(|index| format!("lora_unet_module_{index}.lora_down.weight")).collect();
    let mut tensors: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), &[1, 1][..])).collect();
    tensors.extend(LORA);
    for index in 0..1000 {
        write(
            &root.join(format!("{}/{index}.safetensors", index % 20)),
            &tensors,
            &[("modelspec.title", "One of many")],
        );
    }
    let begun = std::time::Instant::now();
    let scan = scanned(root);
    println!("{} files in {:.2} s", scan.models.len(), begun.elapsed().as_secs_f64());
    assert_eq!(scan.models.len(), 1000);
}
