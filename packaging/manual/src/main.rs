//! Writes the man pages and the shell completions from what the program itself reads its arguments with, so that they
//! cannot say anything else. Add a shell in [`SHELLS`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;
use instaflow::commands::Arguments;

/// The shells that completions are written for.
const SHELLS: [Shell; 4] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell];

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    write(&folder.context("name the folder for man/ and completions/: instaflow-manual DIR")?)
}

/// Writes `man/instaflow.1` with one page for each command beside it, and one file for each shell in `completions/`.
fn write(folder: &Path) -> anyhow::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    // The page of `help` would repeat all others.
    let pages = Arguments::command().disable_help_subcommand(true);
    clap_mangen::generate_to(pages, &man).with_context(|| format!("{} cannot be written", man.display()))?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut Arguments::command(), "instaflow", &completions)
            .with_context(|| format!("{} cannot be written", completions.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_knows_it() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        write(folder.path()).expect("written");
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).expect(file);

        let main = read("man/instaflow.1");
        let shells = ["instaflow.bash", "_instaflow", "instaflow.fish", "_instaflow.ps1"]
            .map(|file| read(&format!("completions/{file}")));
        for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            assert!(read(&format!("man/instaflow-{name}.1")).contains(".SH OPTIONS"), "{name}");
            assert!(main.contains(&format!("instaflow\\-{name}(1)")), "{name} in instaflow.1");
            for shell in &shells {
                assert!(shell.contains(name), "{name} in {}", &shell[..shell.len().min(60)]);
            }
        }
        assert!(!folder.path().join("man/instaflow-help.1").exists(), "help repeats the others");
    }
}
