"""Tests of the script itself; no package is needed: python3 -m unittest discover tests/peers

Change here what must hold of turns, answers and tables.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

import peer_sdcpp
import report
from contestants import (
    NAMES,
    OURS,
    STOCK_CANDLE,
    Contestant,
    Group,
    Setting,
    groups,
)
from peers import KEYS
from process import Failed, seconds
from rounds import Result, measure, sittings

ABOUT = {
    "date": "today",
    "quick": False,
    "processor": "a processor",
    "flags": [],
    "cores": 2,
    "threads": 2,
    "memory_gib": 1.0,
    "system": "a system",
    "load_before": 0.0,
    "versions": {"python": "3"},
}


def contestant(name: str, program: str, **more: object) -> Contestant:
    """A contestant that is a line of Python."""
    prelude = "import json, sys\n"
    return Contestant(name, [sys.executable, "-c", prelude + program], 0.0, **more)


def steady(name: str, value: float, note: str = "0") -> Contestant:
    """Always answers the same time, and does `note` before each answer."""
    return contestant(
        name,
        f"for _ in sys.stdin: {note}; "
        f"print(json.dumps({{'seconds': {value}}}), flush=True)",
    )


def group(*contestants: Contestant, rounds: int = 3) -> Group:
    """A group with the one stage that `steady` answers."""
    return Group("g", "A group", {"training_step": "step"}, list(contestants), rounds)


class Groups(unittest.TestCase):
    """Who is timed."""

    def test_what_the_command_line_offers_is_what_there_is(self) -> None:
        setting = Setting(Path("/nonexistent/instaflow"), 3, 7, False, Path("files"))
        known = groups(setting)
        self.assertEqual(tuple(one.key for one in known), KEYS)
        self.assertIn("--sd-cli", known[-2].contestants[-1].reason)
        for one in known:
            ours, *peers = one.contestants
            self.assertEqual(ours.name, OURS)
            self.assertLessEqual({c.name for c in one.contestants}, set(NAMES))
            self.assertIn("is not built: cargo build", ours.reason)
            if one.key != "training-f32":
                self.assertEqual(f"-{ours.dtype}", one.key[-len(ours.dtype) - 1 :])
            for peer in peers:
                threads = ["--threads", "3"]
                stated = [*peer.command, ""]
                found = any(stated[i : i + 2] == threads for i in range(len(stated)))
                self.assertTrue(found or peer.name == STOCK_CANDLE, peer.command)


class Answers(unittest.TestCase):
    """What a contestant may say."""

    def test_times_are_found(self) -> None:
        line = json.dumps({"stages": {"unet": 2.0}, "one_step_s": 3, "dtype": "bf16"})
        self.assertEqual(seconds(line, "bf16"), {"unet": 2.0, "one_step": 3})

    def test_nonsense_is_refused(self) -> None:
        bad = ("", "[]", "{}", '{"seconds": 0}', '{"seconds": NaN}', '{"seconds": "1"}')
        for line in bad:
            with self.subTest(line), self.assertRaises(Failed):
                seconds(line)

    def test_another_arithmetic_is_refused(self) -> None:
        with self.assertRaisesRegex(Failed, "computes in f32, not in bf16"):
            seconds('{"dtype": "f32", "seconds": 1.0}', "bf16")


class Turns(unittest.TestCase):
    """Who runs when."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.logs = Path(folder.name)

    def test_they_alternate_and_another_begins_each_round(self) -> None:
        order = self.logs / "order"
        names = ["A", "B", "C"]
        note = "open(%r, 'a').write(%r)"
        those = [steady(n, 1.0, note % (str(order), n)) for n in names]
        measure(group(*those), 1, self.logs)
        # One run each as they are loaded; then the rounds, a rehearsal before each time.
        self.assertEqual(order.read_text(), "ABC" + "AABBCC" + "BBCCAA" + "CCAABB")

    def test_one_that_begins_anew_each_time_does_not_rehearse(self) -> None:
        order = self.logs / "order"
        note = "open(%r, 'a').write(%r)"
        anew = replace(steady("A", 1.0, note % (str(order), "A")), rehearses=False)
        measure(group(anew, steady("B", 1.0, note % (str(order), "B"))), 1, self.logs)
        self.assertEqual(order.read_text(), "AB" + "ABB" + "BBA" + "ABB")

    def test_one_stands_still_while_another_runs(self) -> None:
        pid_file = self.logs / "pid"
        sleeper = steady("sleeper", 1.0, f"open({str(pid_file)!r}, 'w').write(PID)")
        prefix = "import os; PID = str(os.getpid())\n"
        sleeper.command[2] = prefix + sleeper.command[2]
        watcher = contestant(
            "watcher",
            "for _ in sys.stdin:\n"
            f"    pid = open({str(pid_file)!r}).read()\n"
            "    state = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0]\n"
            "    print(json.dumps({'seconds': 2.0 if state == 'T' else 1.0}), flush=True)",
        )
        results = measure(group(sleeper, watcher), 1, self.logs)
        self.assertEqual(results[1].times, {"training_step": [2.0] * 3})

    def test_one_that_fails_falls_out_with_its_reason(self) -> None:
        fails = contestant("fails", "sys.exit('error: no weights')")
        absent = Contestant("absent", ["/nonexistent"], 0.0)
        known = contestant("known", "", reason="not built")
        too_big = Contestant("big", ["/bin/true"], 1e9)
        those = [fails, absent, known, too_big, steady("fine", 0.5)]
        results = {r.name: r for r in measure(group(*those), 1, self.logs)}
        self.assertEqual(results["fails"].reason, "error: no weights")
        self.assertIn("does not start", results["absent"].reason)
        self.assertEqual(results["known"].reason, "not built")
        self.assertIn("GiB of memory", results["big"].reason)
        self.assertEqual(results["fine"].times, {"training_step": [0.5] * 3})

    def test_one_that_fails_midway_keeps_no_half_series(self) -> None:
        dies = contestant(
            "dies",
            "for n, _ in enumerate(sys.stdin):\n"
            "    if n == 3: sys.exit('error: tired')\n"
            "    print('{\"seconds\": 1.0}', flush=True)",
        )
        results = measure(group(dies, steady("fine", 0.5)), 1, self.logs)
        self.assertEqual((results[0].times, results[0].reason), ({}, "error: tired"))
        self.assertEqual(len(results[1].times["training_step"]), 3)

    def test_who_has_no_room_sits_again_with_ours(self) -> None:
        those = [steady(n, 1.0) for n in (OURS, "PyTorch", "OpenVINO")]
        # Room for two, then for those that are left.
        with mock.patch("rounds.available_gib", side_effect=[9, 9, -1, 9, 9]):
            first, second = sittings(group(*those), 1, self.logs)
        self.assertEqual([r.name for r in first[1]], [OURS, "PyTorch"])
        self.assertEqual([r.name for r in second[1]], [OURS, "OpenVINO"])
        self.assertEqual((first[0].key, second[0].key), ("g", "g-2"))
        self.assertTrue(all(len(r.times["training_step"]) == 3 for r in second[1]))

    def test_who_never_has_room_is_named_once(self) -> None:
        those = [steady(n, 1.0) for n in (OURS, "PyTorch")]
        with mock.patch("rounds.available_gib", side_effect=[9, -1]):
            ((_, results),) = sittings(group(*those), 1, self.logs)
        self.assertIn("of memory", results[1].reason)

    def test_nothing_is_left_running(self) -> None:
        pid_file = self.logs / "pid"
        note = f"open({str(pid_file)!r}, 'w').write(str(__import__('os').getpid()))"
        measure(group(steady("one", 1.0, note)), 1, self.logs)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)


class Tables(unittest.TestCase):
    """What is said of the times."""

    RESULTS = (
        Result("InstaFlow", {"training_step": [0.9, 1.0, 5.0]}, 1.0),
        Result("PyTorch", {"training_step": [2.0, 4.0, 3.0]}, 2.0),
        Result("OpenVINO", {"training_step": [2.0, 2.0, 2.5]}, 2.0),
        Result("stock candle", reason="not built"),
    )

    def test_ratios_are_of_medians_to_the_best_peer(self) -> None:
        text = report.markdown(ABOUT, [(group(), list(self.RESULTS))])
        self.assertIn("| g | step | 1.00 | OpenVINO | 2.00 | 0.50 |", text)
        self.assertIn("| InstaFlow | 1.00 (0.900–5.00) | 1.0 GiB |", text)
        self.assertIn("| InstaFlow ÷ PyTorch | 0.33 | |", text)
        self.assertIn("Not timed: stock candle: not built.", text)

    def test_the_best_of_all_arithmetics_is_compared(self) -> None:
        half = [Result("InstaFlow", {"training_step": [2.0]}, 1.0)]
        half.append(Result("OpenVINO", {"training_step": [9.0]}, 1.0))
        other = replace(group(), key="other")
        text = report.markdown(ABOUT, [(group(), list(self.RESULTS)), (other, half)])
        self.assertIn("| step | 1.00 | g | OpenVINO, g | 2.00 | 0.50 |", text)
        self.assertIn("| other | step | 2.00 | OpenVINO | 9.00 | 0.22 |", text)

    def test_without_ours_there_is_no_ratio(self) -> None:
        text = report.markdown(ABOUT, [(group(), list(self.RESULTS[1:]))])
        self.assertIn("| g | step | – | OpenVINO | 2.00 | – |", text)

    def test_toy_times_are_called_that(self) -> None:
        quick = report.markdown(ABOUT | {"quick": True}, [])
        self.assertIn(report.QUICK, quick)
        self.assertNotIn(report.QUICK, report.markdown(ABOUT, []))

    def test_all_times_are_written(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            measured = [(group(), list(self.RESULTS))]
            report.write(Path(folder), "name", ABOUT, measured)
            read = json.loads((Path(folder) / "name.json").read_text())
            self.assertEqual(
                sorted(os.listdir(folder)),
                ["name.json", "name.md"],
            )
        first = read["groups"][0]["results"][0]
        self.assertEqual(first["seconds"], {"training_step": [0.9, 1.0, 5.0]})


class StableDiffusionCpp(unittest.TestCase):
    """What its log says."""

    def test_the_stages_are_found_in_its_log(self) -> None:
        log = """[INFO ] get_learned_condition completed, taking 0.11s
[INFO ] loading tensors completed, taking 2.00s (read: 0.32s, memcpy: 0.00s)
[INFO ] sampling completed, taking 9.25s
[INFO ] decode_first_stage completed, taking 12.50s
"""
        expected = {"text_encoder": 0.11, "unet": 7.25, "decoder": 12.5}
        self.assertEqual(peer_sdcpp.stages(log), expected)
        with self.assertRaisesRegex(RuntimeError, "decoder"):
            peer_sdcpp.stages(log.replace("decode_first", "encode_first"))


if __name__ == "__main__":
    unittest.main()
