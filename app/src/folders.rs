//! Where the program's files belong on this system. Change the names of its folders here.

use std::path::PathBuf;

use directories::{BaseDirs, UserDirs};

/// The name of the program's folders among those of other programs.
const PROGRAM: &str = "instaflow";

/// For what may be lost without harm, such as the window's state: on Linux `instaflow` in `$XDG_STATE_HOME` or
/// `~/.local/state`; on macOS and Windows, which know no such place, [`data`].
pub fn state() -> Option<PathBuf> {
    let base = BaseDirs::new()?;
    Some(base.state_dir().unwrap_or(base.data_local_dir()).join(PROGRAM))
}

/// For what the program keeps for a person: on Linux `instaflow` in `$XDG_DATA_HOME` or `~/.local/share`, on macOS in
/// `~/Library/Application Support`, on Windows in `%LOCALAPPDATA%`.
pub fn data() -> Option<PathBuf> {
    Some(BaseDirs::new()?.data_local_dir().join(PROGRAM))
}

/// Where LoRAs are looked for by name: `loras` in [`data`].
pub fn loras() -> Vec<PathBuf> {
    data().map(|data| data.join("loras")).into_iter().collect()
}

/// For what a person sets, such as a catalogue of their own: on Linux `instaflow` in `$XDG_CONFIG_HOME` or `~/.config`, on
/// macOS in `~/Library/Application Support`, on Windows in `%APPDATA%`.
pub fn settings() -> Option<PathBuf> {
    Some(BaseDirs::new()?.config_dir().join(PROGRAM))
}

/// Where quick save puts pictures: `InstaFlow` in the folder that the person has for pictures, whatever its name is in
/// their language.
pub fn pictures() -> PathBuf {
    let user = UserDirs::new();
    let pictures = user.as_ref().and_then(|user| Some(user.picture_dir()?.to_owned()));
    let home = || user.as_ref().map_or_else(std::env::temp_dir, |user| user.home_dir().to_owned());
    pictures.unwrap_or_else(|| home().join("Pictures")).join("InstaFlow")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    #[test]
    #[ignore = "started by the test below, with other variables"]
    fn says_where_they_are() {
        for folder in [state(), data(), Some(pictures())] {
            println!("{}", folder.expect("a home").display());
        }
    }

    /// What this program finds with these variables: the folders for its state, its data and pictures.
    fn found(home: &Path, variables: &[(&str, &Path)]) -> Vec<PathBuf> {
        let mut program = Command::new(std::env::current_exe().expect("this test"));
        program.args(["--exact", "folders::tests::says_where_they_are", "--ignored", "--nocapture"]).env("HOME", home);
        for name in ["XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            program.env_remove(name);
        }
        let output = program.envs(variables.iter().copied()).output().expect("this test starts once more");
        let text = String::from_utf8(output.stdout).expect("plain paths");
        text.lines().filter(|line| line.starts_with('/')).map(PathBuf::from).collect()
    }

    #[test]
    fn folders_are_where_the_desktop_and_earlier_versions_have_them() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = folder.path();
        let (state, data) = (home.join(".local/state/instaflow"), home.join(".local/share/instaflow"));
        assert_eq!(found(home, &[]), [state.clone(), data.clone(), home.join("Pictures/InstaFlow")]);

        std::fs::create_dir(home.join(".config")).expect("a folder that can be written");
        std::fs::write(home.join(".config/user-dirs.dirs"), "XDG_PICTURES_DIR=\"$HOME/Bilder\"\n").expect("written");
        assert_eq!(found(home, &[]), [state, data, home.join("Bilder/InstaFlow")]);

        let (a, b) = (home.join("a"), home.join("b"));
        let moved = found(home, &[("XDG_STATE_HOME", &a), ("XDG_DATA_HOME", &b), ("XDG_CONFIG_HOME", &b)]);
        assert_eq!(moved, [a.join("instaflow"), b.join("instaflow"), home.join("Pictures/InstaFlow")]);
        let relative = found(home, &[("XDG_STATE_HOME", Path::new("a"))]);
        assert_eq!(relative[0], home.join(".local/state/instaflow"), "a relative path does not count");
    }
}
