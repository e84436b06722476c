//! On which display the window opens, where a system has two kinds. Change here when the second one is taken.

use eframe::EventLoopBuilderHook;

/// X11 if the session says Wayland but nothing answers there, as after a switch of sessions or in a terminal that outlived
/// one; otherwise what winit finds.
#[cfg(target_os = "linux")]
pub(super) fn choice() -> Option<EventLoopBuilderHook> {
    use winit::platform::x11::EventLoopBuilderExtX11;

    if !wayland_is_stale(&|name| std::env::var_os(name)) {
        return None;
    }
    tracing::warn!("WAYLAND_DISPLAY names a display that does not answer: the window opens on X11");
    Some(Box::new(|builder| {
        builder.with_x11();
    }))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn choice() -> Option<EventLoopBuilderHook> {
    None
}

/// Whether there is an X11 display, and a Wayland display is named whose socket refuses.
#[cfg(target_os = "linux")]
fn wayland_is_stale(variable: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let Some(name) = set("WAYLAND_DISPLAY").map(PathBuf::from) else { return false };
    // A socket that was handed over, or nothing to fall back to.
    if set("WAYLAND_SOCKET").is_some() || set("DISPLAY").is_none() {
        return false;
    }
    // An absolute name stays as it is.
    let socket = set("XDG_RUNTIME_DIR").map_or_else(|| name.clone(), |folder| PathBuf::from(folder).join(&name));
    UnixStream::connect(socket).is_err()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn x11_is_taken_only_if_wayland_is_named_and_does_not_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let _listener = UnixListener::bind(folder.path().join("wayland-0")).expect("a socket");
        let runtime = folder.path().to_str().expect("a plain path");
        let absolute = format!("{runtime}/wayland-0");
        for (variables, stale) in [
            (&[("DISPLAY", ":0")][..], false),
            (&[("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "")], false),
            (&[("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-0")], false),
            (&[("DISPLAY", ":0"), ("WAYLAND_DISPLAY", absolute.as_str())], false),
            (&[("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-1")], true),
            (&[("WAYLAND_DISPLAY", "wayland-1")], false),
            (&[("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-1"), ("WAYLAND_SOCKET", "3")], false),
        ] {
            let find = |name: &str| {
                let given = variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
                given.or_else(|| (name == "XDG_RUNTIME_DIR").then(|| runtime.into()))
            };
            assert_eq!(wayland_is_stale(&find), stale, "{variables:?}");
        }
    }
}
