//! PNGs out and settings back in, with prompts and files that mean harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use instaflow_engine::Error;
use instaflow_engine::png::{Pattern, Restored, encode, read_settings, save, save_quick};
use instaflow_engine::protocol::{Bf16Products, Blend, Decoder, NoiseSchedule, Picture, Role, Sampler, Settings};
use png::text_metadata::{ITXtChunk, TEXtChunk, ZTXtChunk};
use tempfile::TempDir;

fn picture(prompt: &str) -> Picture {
    let settings = Settings {
        seed: u64::MAX,
        size: Some((3, 2)),
        steps: 25,
        guidance: 1.1,
        negative_prompt: format!("not {prompt}"),
        decoder: Decoder::Tiny,
        ..Settings::teacher(prompt)
    };
    Picture {
        model: "my model: a, \"b\"".into(),
        model_hash: "0123456789".into(),
        bf16_products: Some(Bf16Products::Pairs),
        straightness: Some(0.5),
        ..Picture::new(3, 2, (0..18).map(|value| value * 14).collect(), settings)
    }
}

fn hostile_prompts() -> Vec<String> {
    let mut prompts: Vec<String> = [
        "",
        "a plain prompt",
        "café déjà vu — “quotes”",
        "emoji 😀👩‍👩‍👧‍👦 \u{202e}right to left",
        "\"quotes\" 'both' \\ and \\n backslashes",
        "two\nlines\r\nand\ttabs\n",
        "a prompt\nNegative prompt: of its own\nSteps: 5, Sampler: none, Seed: 3",
        "Steps: 5, CFG scale: 9, in a prompt",
        "a NUL \0 inside \u{1b}[31m and an escape",
        "</rdf:RDF> <?xpacket end=\"w\"?> {\"settings\": null}",
        "\u{feff}byte order mark \u{fffd}",
    ]
    .map(String::from)
    .into();
    prompts.push("long ".repeat(2000));
    prompts.push("山".repeat(10_000));
    prompts
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a test file");
    path
}

fn decode(path: &Path) -> (png::Info<'static>, Vec<u8>) {
    let file = std::io::BufReader::new(fs::File::open(path).expect("a saved picture"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
    reader.next_frame(&mut pixels).expect("whole pixels");
    (reader.info().clone(), pixels)
}

/// All texts of a kind that other programs read, by keyword.
fn texts(info: &png::Info, keyword: &str) -> Vec<String> {
    let latin = info.uncompressed_latin1_text.iter().filter(|chunk| chunk.keyword == keyword).map(|c| c.text.clone());
    let utf8 = info.utf8_text.iter().filter(|c| c.keyword == keyword).map(|c| c.get_text().expect("UTF-8"));
    latin.chain(utf8).collect()
}

#[test]
fn every_prompt_comes_back_exactly() {
    let folder = TempDir::new().expect("a folder");
    for (index, prompt) in hostile_prompts().iter().enumerate() {
        let path = folder.path().join(format!("{index}.png"));
        let picture = picture(prompt);
        save(&path, &picture, true, false).expect("saved");
        let restored = read_settings(&path).expect("restored");
        let (model, model_hash) = (Some(picture.model.clone()), Some(picture.model_hash.clone()));
        assert_eq!(
            restored,
            Restored {
                settings: picture.settings.clone(),
                model,
                model_hash,
                bf16_products: picture.bf16_products,
                remarks: Vec::new(),
            }
        );
        let (info, pixels) = decode(&path);
        assert_eq!((info.width, info.height, pixels.as_slice()), (3, 2, &*picture.rgb));
    }
}

#[test]
fn other_programs_find_what_they_look_for() {
    let folder = TempDir::new().expect("a folder");
    for prompt in hostile_prompts() {
        let path = write(&folder, "a.png", &encode(&picture(&prompt), true));
        let (info, _) = decode(&path);
        let parameters = &texts(&info, "parameters")[..];
        let [parameters] = parameters else { panic!("{} chunks `parameters`", parameters.len()) };
        let expected = format!(
            "{prompt}\nNegative prompt: not {prompt}\nSteps: 25, Sampler: Euler flow, CFG scale: 1.1, \
             Seed: 18446744073709551615, Size: 3x2, Model hash: 0123456789, Model: \"my model: a, \\\"b\\\"\", VAE Decoder: TAESD, \
             Version: instaflow {}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(*parameters, expected.replace('\0', ""));
        let latin1 = expected.chars().all(|c| u32::from(c) < 256);
        assert_eq!(
            info.uncompressed_latin1_text.iter().any(|chunk| chunk.keyword == "parameters"),
            latin1,
            "{prompt:?}"
        );
        let xmp = texts(&info, "XML:com.adobe.xmp").concat();
        assert!(xmp.contains("digitalsourcetype/trainedAlgorithmicMedia"), "{xmp}");
    }
}

#[test]
fn without_metadata_nothing_is_told() {
    let folder = TempDir::new().expect("a folder");
    let path = write(&folder, "a.png", &encode(&picture("secret"), false));
    let (info, _) = decode(&path);
    assert!(info.uncompressed_latin1_text.is_empty() && info.utf8_text.is_empty());
    refused(&path, "it has none");
}

#[test]
fn an_existing_file_is_replaced_only_when_asked() {
    let folder = TempDir::new().expect("a folder");
    let path = write(&folder, "a.png", b"precious");
    let error = save(&path, &picture("x"), true, false).expect_err("the file exists");
    assert!(
        matches!(&error, Error::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists),
        "{error}"
    );
    assert_eq!(fs::read(&path).expect("still there"), b"precious");
    save(&path, &picture("x"), true, true).expect("overwritten");
    assert!(read_settings(&path).is_ok());

    let kind = |path: &Path| match save(path, &picture("x"), true, true) {
        Err(Error::File { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(&folder.path().join("no/such/a.png")), std::io::ErrorKind::NotFound);
    assert_eq!(kind(folder.path()), std::io::ErrorKind::IsADirectory);
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(left, ["a.png"], "temporary files stay behind");
}

#[test]
fn of_many_that_save_at_once_one_wins() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.png");
    let saved = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| save(&path, &picture("x"), true, false).is_ok())).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|saved| *saved).count()
    });
    assert_eq!(saved, 1);
}

#[cfg(unix)]
#[test]
fn saved_pictures_are_as_readable_as_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.png");
    save(&path, &picture("x"), true, false).expect("saved");
    let plain = write(&folder, "plain", b"");
    let mode = |path: &Path| path.metadata().expect("metadata").permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}

#[test]
fn quick_saves_never_meet() {
    let folder = TempDir::new().expect("a folder");
    let prompt = "../a \"lake\": 😀\0 at/sunset ".repeat(500);
    // More than fit into the seconds that this takes, so that names are met again.
    let new = folder.path().join("new");
    let paths: Vec<PathBuf> =
        (0..30).map(|_| save_quick(&new, &Pattern::default(), &picture(&prompt), true).expect("saved")).collect();
    for path in &paths {
        let parts: Vec<_> = path.strip_prefix(folder.path()).expect("inside").iter().collect();
        assert_eq!(parts.len(), 3, "new/YYYY-MM-DD/name: {}", path.display());
        let (day, name) = (parts[1].to_string_lossy(), parts[2].to_string_lossy());
        assert!(day.len() == 10 && day.split('-').all(|part| part.parse::<u32>().is_ok()), "{day}");
        assert!(name[8..].starts_with("_18446744073709551615_a_lake_at_sunset_a_lake"), "{name}");
        assert!(name.len() < 120 && Path::new(&*name).extension().is_some_and(|e| e == "png"), "{name}");
        assert_eq!(read_settings(path).expect("restored").settings.prompt, prompt);
    }
    assert!(paths.iter().any(|path| path.to_string_lossy().ends_with("-2.png")), "no name was met twice");
    let mut different = paths.clone();
    different.dedup();
    assert_eq!(different.len(), 30);
}

#[test]
fn numbers_count_up_and_gaps_are_filled() {
    let folder = TempDir::new().expect("a folder");
    let pattern = Pattern::parse("lake/{model} {n}").expect("a pattern");
    let save = || save_quick(folder.path(), &pattern, &picture("x"), true).expect("saved");
    let names: Vec<_> = (0..3).map(|_| save()).collect();
    let expected = ["001", "002", "003"].map(|n| folder.path().join("lake").join(format!("my_model_a_b {n}.png")));
    assert_eq!(names, expected);
    fs::remove_file(&names[1]).expect("it is there");
    assert_eq!((save(), save()), (expected[1].clone(), folder.path().join("lake").join("my_model_a_b 004.png")));
}

/// A PNG of one pixel with these chunks before it, and whatever `write` adds after.
fn png_with(write: impl FnOnce(&mut png::Writer<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    write(&mut writer);
    writer.write_image_data(&[7]).expect("a pixel");
    writer.finish().expect("an end");
    bytes
}

#[test]
fn pictures_of_other_programs_give_what_they_have() {
    let folder = TempDir::new().expect("a folder");
    let text = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 12, \
                Size: 512x768, Model hash: 6ce0161689, Model: v1-5";
    let kinds = [
        png_with(|w| w.write_text_chunk(&TEXtChunk::new("parameters", text)).expect("tEXt")),
        png_with(|w| w.write_text_chunk(&ZTXtChunk::new("parameters", text)).expect("zTXt")),
        png_with(|w| {
            let mut chunk = ITXtChunk::new("parameters", text);
            chunk.compressed = true;
            w.write_text_chunk(&chunk).expect("iTXt");
        }),
        // A record that is none is passed over.
        png_with(|w| {
            w.write_text_chunk(&TEXtChunk::new("instaflow", "{\"settings\": 5}")).expect("tEXt");
            w.write_text_chunk(&TEXtChunk::new("parameters", text)).expect("tEXt");
        }),
    ];
    for bytes in kinds {
        let restored = read_settings(&write(&folder, "a.png", &bytes)).expect("restored");
        let settings = Settings {
            role: Role::Teacher,
            sampler: Some(Sampler::DpmPlusPlus2M),
            schedule: Some(NoiseSchedule::Karras),
            prompt: "a cat".into(),
            negative_prompt: "dog".into(),
            seed: 12,
            size: Some((512, 768)),
            steps: 20,
            guidance: 7.5,
            decoder: Decoder::Full,
            blend: Blend::default(),
            ..Settings::student("")
        };
        assert_eq!((restored.settings, restored.model.as_deref()), (settings, Some("v1-5")));
    }
}

#[test]
fn settings_that_nothing_could_draw_are_not_restored() {
    let folder = TempDir::new().expect("a folder");
    for (key, value) in
        [("steps", "0"), ("steps", "4000000000"), ("guidance", "-1"), ("guidance", "1e39"), ("seed", "-1")]
    {
        let record = serde_json::json!({
            "version": "0", "model": "m", "model_hash": "h", "settings": Settings::student("x"),
        });
        let mut record = record;
        record["settings"][key] = value.parse().expect("a number");
        let bytes = png_with(|w| w.write_text_chunk(&TEXtChunk::new("instaflow", record.to_string())).expect("tEXt"));
        refused(&write(&folder, "a.png", &bytes), "it has none");
    }
}

#[test]
fn records_of_earlier_versions_are_read() {
    let folder = TempDir::new().expect("a folder");
    let settings = Settings::student("x");
    let record = serde_json::json!({ "version": "0", "model": "m", "model_hash": "h", "settings": settings });
    let bytes = png_with(|w| w.write_text_chunk(&TEXtChunk::new("instaflow", record.to_string())).expect("tEXt"));
    let restored = read_settings(&write(&folder, "a.png", &bytes)).expect("restored");
    let (model, model_hash) = (Some("m".to_owned()), Some("h".to_owned()));
    assert_eq!(restored, Restored { settings, model, model_hash, bf16_products: None, remarks: Vec::new() });
}

/// Reading fails in time, with one sentence and one cause that holds `words`.
#[track_caller]
fn refused(path: &Path, words: &str) {
    let begun = Instant::now();
    let error = read_settings(path).expect_err("nothing to restore");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let causes = error.causes();
    assert!(error.to_string().starts_with("cannot read the settings of "), "{error}");
    assert!(causes.len() == 1 && causes[0].contains(words) && !causes[0].contains('\n'), "{causes:?}");
}

#[test]
fn harmful_files_cost_a_sentence() {
    let folder = TempDir::new().expect("a folder");
    let whole = encode(&picture("a lake"), true);
    refused(&write(&folder, "empty.png", b""), "cut short");
    refused(&write(&folder, "text.png", b"this is no picture at all"), "not a PNG");
    refused(&folder.path().join("absent.png"), "No such file");
    refused(folder.path(), "not a file");

    // Cut anywhere: the settings, or a sentence; never a panic.
    for end in 0..whole.len() {
        if let Err(error) = read_settings(&write(&folder, "cut.png", &whole[..end])) {
            assert_eq!(error.causes().len(), 1, "cut at {end}: {error}");
        }
    }
    // One byte turned anywhere likewise.
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x55;
        if let Err(error) = read_settings(&write(&folder, "turned.png", &bytes)) {
            assert_eq!(error.causes().len(), 1, "turned at {index}: {error}");
        }
    }
}

#[test]
fn sizes_that_lie_cost_no_memory() {
    let folder = TempDir::new().expect("a folder");
    let pixel = png_with(|_| {});
    // After the signature and IHDR (8 + 25 bytes): a text chunk that says it is of 2 GiB.
    let mut huge = pixel[..33].to_vec();
    huge.extend([0x7f, 0xff, 0xff, 0xff]);
    huge.extend(b"tEXtparameters\0x");
    refused(&write(&folder, "huge.png", &huge), "cut short");

    // 40 MiB of text that are really there.
    let long = png_with(|w| w.write_text_chunk(&TEXtChunk::new("parameters", "x".repeat(40 << 20))).expect("tEXt"));
    refused(&write(&folder, "long.png", &long), "too large");

    // Compressed bombs: 256 MiB of spaces in 256 KiB, as either kind of chunk.
    let spaces = " ".repeat(256 << 20);
    let bomb = png_with(|w| w.write_text_chunk(&ZTXtChunk::new("parameters", spaces.clone())).expect("zTXt"));
    refused(&write(&folder, "bomb.png", &bomb), "it has none");
    let bomb = png_with(|w| {
        let mut chunk = ITXtChunk::new("instaflow", spaces);
        chunk.compressed = true;
        w.write_text_chunk(&chunk).expect("iTXt");
    });
    refused(&write(&folder, "bomb.png", &bomb), "it has none");
}
