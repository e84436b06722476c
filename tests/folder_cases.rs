//! Model folders as other programs, downloads, editors and people leave them (tests/fixtures/cases/folders.json): what
//! `generate` draws with each and what `info` says of it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use instaflow_test_support::{copy_folder, fixture};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Where a test's folders are, and what has been drawn already.
struct Cases {
    place: TempDir,
    drawn: HashMap<String, Option<Vec<u8>>>,
}

/// What a command ended with and printed.
struct Outcome {
    good: bool,
    printed: String,
}

#[test]
fn folders_as_they_are_found() {
    let text = fs::read(fixture("../cases/folders.json")).expect("the cases");
    let cases: Vec<Value> = serde_json::from_slice(&text).expect("the cases");
    assert_eq!(cases.len(), 66);
    let mut runner = Cases { place: TempDir::new().expect("a folder"), drawn: HashMap::new() };
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case["name"].as_str()?, runner.judge(case).err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_broken_folder_is_told_by_the_exit_code_too() {
    let runner = Cases { place: TempDir::new().expect("a folder"), drawn: HashMap::new() };
    let steps = json!([{ "do": "write", "path": "model/unet/diffusion_pytorch_model.safetensors", "text": "" }]);
    let root = runner.build(&steps);
    let info = runner.run(&["info", text(&root.path().join("model"))]);
    assert!(!info.good && info.printed.contains("diffusion_pytorch_model.safetensors"), "{}", info.printed);
}

impl Cases {
    /// The rules of the cases: a folder that opens draws what the same folder as its writer meant it draws, and `info`
    /// finds no fault with it; both refuse any other, and say what is expected.
    fn judge(&mut self, case: &Value) -> Result<(), String> {
        let expect = &case["expect"];
        let root = self.build(&case["steps"]);
        let opened = root.path().join(case["open"].as_str().expect("a path"));
        let (drawn, pixels) = self.draw(&opened);
        let info = self.run(&["info", text(&opened)]);
        let without_place = |printed: &str| printed.replace(text(root.path()), "…").to_lowercase();
        let (printed, described) = (without_place(&drawn.printed), without_place(&info.printed));
        let outcome = expect["outcome"].as_str().expect("an outcome");
        if outcome == "opens" || (outcome == "either" && drawn.good) {
            if !drawn.good {
                return Err(format!("refused: {printed}"));
            }
            if pixels != self.like(&expect["like"]) {
                return Err("another picture".into());
            }
            return if info.good { Ok(()) } else { Err(format!("`info` finds a fault: {described}")) };
        }
        if drawn.good {
            return Err("accepted".into());
        }
        if info.good {
            return Err(format!("`info` finds no fault: {described}"));
        }
        for group in expect["says"].as_array().expect("groups of words") {
            let words: Vec<String> = strings(group).map(str::to_lowercase).collect();
            for (who, said) in [("generate", &printed), ("info", &described)] {
                if !words.iter().any(|word| said.contains(word)) {
                    return Err(format!("`{who}` says none of {words:?}: {said}"));
                }
            }
        }
        match strings(&expect["says_not"]).find(|words| printed.contains(&words.to_lowercase())) {
            Some(words) => Err(format!("says {words:?}: {printed}")),
            None => Ok(()),
        }
    }

    /// A folder of its own with the fixture's model in it, changed.
    fn build(&self, steps: &Value) -> TempDir {
        let root = TempDir::new_in(self.place.path()).expect("a folder");
        copy_folder(&fixture("model"), &root.path().join("model"));
        for step in steps.as_array().into_iter().flatten() {
            carry_out(step, root.path());
        }
        root
    }

    /// What the fixture draws after these steps.
    fn like(&mut self, steps: &Value) -> Option<Vec<u8>> {
        let key = steps.to_string();
        if let Some(pixels) = self.drawn.get(&key) {
            return pixels.clone();
        }
        let root = self.build(steps);
        let (_, pixels) = self.draw(&root.path().join("model"));
        self.drawn.insert(key, pixels.clone());
        pixels
    }

    fn draw(&self, folder: &Path) -> (Outcome, Option<Vec<u8>>) {
        let picture = self.place.path().join("picture.png");
        let _ = fs::remove_file(&picture);
        let prompt = "a lake in the mountains";
        let outcome = self.run(&["generate", prompt, "-o", text(&picture), "--model", text(folder), "--steps", "4"]);
        (outcome, pixels(&picture))
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_instaflow"))
            .args(arguments)
            .current_dir(self.place.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .output()
            .expect("the binary runs");
        let printed = [output.stdout, output.stderr].concat();
        Outcome { good: output.status.success(), printed: String::from_utf8_lossy(&printed).into_owned() }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The bytes of a picture; `None` if there is none.
fn pixels(path: &Path) -> Option<Vec<u8>> {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).ok()?)).read_info().ok()?;
    let mut rgb = vec![0; reader.output_buffer_size()?];
    reader.next_frame(&mut rgb).ok()?;
    Some(rgb)
}

fn carry_out(step: &Value, root: &Path) {
    let key = step["key"].as_str().unwrap_or_default();
    let path = root.join(step["path"].as_str().unwrap_or_default());
    let read = || fs::read(&path).expect("it is there");
    let write = |bytes: &[u8]| fs::write(&path, bytes).expect("a folder that can be written");
    let object = || -> Map<String, Value> { serde_json::from_slice(&read()).expect("a JSON object") };
    let write_object = |object: &Map<String, Value>| {
        write(serde_json::to_string_pretty(object).expect("JSON").as_bytes());
    };
    match step["do"].as_str().expect("what to do") {
        "write" => write(step["text"].as_str().expect("a text").as_bytes()),
        "remove" => fs::remove_file(&path).expect("it is there"),
        "json_set" => {
            let mut object = object();
            object.insert(key.to_owned(), step["value"].clone());
            write_object(&object);
        }
        "json_drop" => {
            let mut object = object();
            strings(&step["keys"]).for_each(|key| {
                object.remove(key);
            });
            write_object(&object);
        }
        // A value that is no JSON, as Python writes it.
        "json_raw" => {
            let mut object = object();
            object.insert(key.to_owned(), "@".into());
            let text = serde_json::to_string_pretty(&object).expect("JSON");
            write(text.replace("\"@\"", step["raw"].as_str().expect("a text")).as_bytes());
        }
        "conflict" => {
            let text = serde_json::to_string_pretty(&object()).expect("JSON");
            let line = text.lines().find(|line| line.contains(&format!("\"{key}\""))).expect("the key");
            let theirs = format!("  \"{key}\": {},", step["theirs"]);
            let both = format!("<<<<<<< HEAD\n{line}\n=======\n{theirs}\n>>>>>>> theirs");
            write(text.replace(line, &both).as_bytes());
        }
        "prepend" => write(&[from_base64(step["base64"].as_str().expect("a text")), read()].concat()),
        "encode" => {
            assert_eq!(step["to"], "utf-16");
            let text = String::from_utf8(read()).expect("UTF-8");
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            write(&units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
        }
        "drop_line" => {
            let number = step["line"].as_u64().expect("a number") as usize;
            let text = String::from_utf8(read()).expect("UTF-8");
            let kept = text.lines().enumerate().filter(|(index, _)| index + 1 != number).map(|(_, line)| line);
            write((kept.collect::<Vec<_>>().join("\n") + "\n").as_bytes());
        }
        "hub" => fill_cache(step, root),
        other => panic!("nobody knows how to {other}"),
    }
}

/// Puts the model into a cache of Hugging Face's form.
fn fill_cache(step: &Value, root: &Path) {
    let cache = root.join("hub");
    let repository = cache.join(step["repo"].as_str().expect("a name"));
    let model = root.join("model");
    let listed = |key: &str, name: &str| strings(&step[key]).any(|start| name.starts_with(start));
    let commit = step["commit"].as_str().expect("a name");
    let mut snapshots = vec![(commit, "leave_out")];
    snapshots.extend(step["second"].as_str().map(|second| (second, "second_leaves_out")));
    let mut sizes = Map::new();
    for (number, name) in files_in(&model, "").into_iter().enumerate() {
        let contents = fs::read(model.join(&name)).expect("it is there");
        sizes.insert(name.clone(), json!({ "size": contents.len(), "blob_id": format!("{number:040x}") }));
        let etag = format!("{number:064x}");
        let blob = repository.join("blobs").join(&etag);
        let shared = cache.join("blobs").join("ab").join(format!("ab{number:062x}"));
        create(&blob);
        if listed("shared", &name) {
            create(&shared);
            fs::write(cache.join("blobs/.huggingface-shared-blobs"), "1").expect("it can be written");
            symlink(format!("../../blobs/ab/ab{number:062x}"), &blob).expect("a link");
            fs::write(&shared, &contents).expect("it can be written");
        } else {
            fs::write(&blob, &contents).expect("it can be written");
        }
        if listed("missing", &name) {
            fs::remove_file(if shared.exists() { &shared } else { &blob }).expect("it is there");
        }
        if listed("incomplete", &name) {
            fs::write(repository.join("blobs").join(format!("{etag}.incomplete")), &contents[..10]).expect("written");
        }
        for (snapshot, left_out) in &snapshots {
            let entry = repository.join("snapshots").join(snapshot).join(&name);
            if listed(left_out, &name) {
                continue;
            }
            create(&entry);
            if step["copies"] == true {
                fs::write(&entry, &contents).expect("it can be written");
            } else {
                let up = "../".repeat(name.matches('/').count() + 2);
                symlink(format!("{up}blobs/{etag}"), &entry).expect("a link");
            }
        }
    }
    if step["copies"] == true {
        fs::remove_dir_all(repository.join("blobs")).expect("it is there");
    }
    let reference = match step.get("ref") {
        None => Some(commit),
        Some(given) => given.as_str(),
    };
    if let Some(reference) = reference {
        create(&repository.join("refs/main"));
        fs::write(repository.join("refs/main"), reference).expect("it can be written");
    }
    if step["tree"] == true {
        for (name, size) in step["tree_also"].as_object().into_iter().flatten() {
            sizes.insert(name.clone(), json!({ "size": size, "blob_id": "f".repeat(40) }));
        }
        let tree = repository.join("trees").join(format!("{commit}.json"));
        create(&tree);
        fs::write(tree, json!({ "format_version": 1, "files": sizes }).to_string()).expect("it can be written");
    }
    for name in strings(&step["no_exist"]) {
        let note = repository.join(".no_exist").join(commit).join(name);
        create(&note);
        fs::write(note, "").expect("it can be written");
    }
}

/// The folder that this file will be in.
fn create(file: &Path) {
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder that can be written");
}

/// All files in a folder, with `/` between the parts of their names.
fn files_in(folder: &Path, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path: PathBuf = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            names.extend(files_in(&path, &format!("{name}/")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

fn from_base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = text.bytes().filter(|letter| *letter != b'=');
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for letter in letters {
        bits = bits << 6 | LETTERS.iter().position(|known| *known == letter).expect("base64") as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
