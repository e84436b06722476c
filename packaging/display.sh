# For the scripts that look at the real window on a virtual display. Needs Xvfb, xdotool and ImageMagick.
# shellcheck shell=bash disable=SC2034

# Seconds until something is given up. A loaded machine draws slowly.
PATIENCE=120

# Starts a display; DISPLAY names it and DISPLAY_PID ends it.
start_display() {
    local number
    number=$(mktemp)
    Xvfb -displayfd 3 -noreset -screen 0 1180x760x24 -nolisten tcp 3>"$number" 2>/dev/null &
    DISPLAY_PID=$!
    wait_for "the display" test -s "$number"
    DISPLAY=:$(cat "$number")
    export DISPLAY
    rm "$number"
}

# Waits until a command succeeds.
wait_for() {
    local what=$1 end=$((SECONDS + PATIENCE))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > end)); then
            echo "waited in vain for $what" >&2
            return 1
        fi
        sleep 0.2
    done
}

window_is_there() { xdotool search --name '^InstaFlow$'; }

# A hash of the middle of the picture, where nothing blinks.
middle() { import -window root -crop 200x200+300+350 -depth 8 rgb:- | sha256sum; }

# A picture has many colours, an empty canvas few.
picture_is_there() { (($(import -window root -crop 200x200+300+350 -depth 8 png:- | identify -format %k -) > 500)); }

picture_differs_from() { [[ $(middle) != "$1" ]] && picture_is_there; }

picture_stands_still() {
    local before
    before=$(middle)
    sleep 2
    [[ $(middle) == "$before" ]]
}

# Waits for the window, types a prompt, waits for another picture and takes a screenshot of it.
type_and_look() {
    local prompt=$1 screenshot=$2 window before
    wait_for "the window" window_is_there
    window=$(window_is_there | head -n 1)
    xdotool windowmove "$window" 0 0
    wait_for "the first picture" picture_is_there
    wait_for "a picture that stays" picture_stands_still
    before=$(middle)
    # There is no window manager to give it the keyboard.
    xdotool windowfocus "$window"
    sleep 0.5
    xdotool type --delay 30 "$prompt"
    wait_for "another picture" picture_differs_from "$before"
    wait_for "a picture that stays" picture_stands_still
    import -window root "$screenshot"
}

has_ended() { ! kill -0 "$1"; }

# Closes the window by its key and waits for the process.
quit_window() {
    xdotool key ctrl+q
    wait_for "the end of the program" has_ended "$1"
}
