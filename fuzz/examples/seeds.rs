//! Writes the seeds of every reader below a folder, for libFuzzer to begin with: `seeds fuzz/corpus`.

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "fuzz/corpus".to_owned());
    for (name, _) in instaflow_fuzz::ALL {
        let folder = std::path::Path::new(&folder).join(name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in instaflow_fuzz::seeds::of(name).into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
