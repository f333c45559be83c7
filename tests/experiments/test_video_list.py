"""The list of track_many: both forms, and what is refused before any work."""

import pytest

from experiments.video_list import read_list


def test_json_lines_and_csv_say_the_same(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"video": "v/one.mp4", "prompts": "one.json"}\n\n'
        '{"video": "/data/two.mp4", "prompts": "two.png", "output": "second case"}\n'
    )
    (tmp_path / "a.csv").write_text(
        "video,prompts,output\nv/one.mp4,one.json,\n\n/data/two.mp4,two.png,second case\n"
    )
    first, second = read_list(tmp_path / "a.jsonl")
    assert (first.name, first.video, first.prompts) == (
        "one",
        tmp_path / "v" / "one.mp4",
        tmp_path / "one.json",
    )
    assert (second.name, str(second.video), second.line) == ("second case", "/data/two.mp4", 3)
    again = read_list(tmp_path / "a.csv")
    assert [(v.name, v.video, v.prompts) for v in again] == [
        (v.name, v.video, v.prompts) for v in (first, second)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no video"),
        ("video,prompts\n", "names no video"),
        ("path,mask\na.mp4,a.json\n", "CSV whose first line names video, prompts, output expected"),
        ("video,prompts\na.mp4,a.json,b,c\n", "line 2: 2 fields expected, more found"),
        ("video,prompts\na.mp4,\n", "line 2: prompts is missing"),
        ("video,prompts,fps\na.mp4,a.json,25\n", "line 2: unknown key fps; known: video, prompts"),
        ('{"video": "a.mp4"}', "line 1: prompts is missing"),
        ('{"video": "a.mp4", "prompts": 3}', "line 1: prompts: a text expected, 3 found"),
        ('{"video": "a.mp4", "prompts": "a.json"}\n{oops', "line 2 is not valid JSON"),
        ('{"video": "a.mp4", "prompts": "a.json"}\n[1]', r"line 2: an object {...} expected"),
        ("video,prompts,output\na.mp4,a.json,../b\n", "output '../b': the name of a folder"),
        ("video,prompts,output\na.mp4,a.json,.b\n", "output '.b': the name of a folder expected"),
        (
            "video,prompts\nx/a.mp4,a.json\ny/A.mp4,b.json\n",
            "lines 2 and 3: output 'A' twice; each video needs its own",
        ),
        (
            "video,prompts,output\na.mp4,a.json,one\na.mp4,a.json,two\n",
            "lines 2 and 3: .*a.mp4 with .*a.json twice",
        ),
    ],
)
def test_refused_lists(tmp_path, text, message):
    (tmp_path / "list").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_list(tmp_path / "list")


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="--list .*gone.csv does not exist"):
        read_list(tmp_path / "gone.csv")
    (tmp_path / "video.mp4").write_bytes(b"\xff\xd8\x00")
    with pytest.raises(ValueError, match="is no text: JSON lines or CSV expected"):
        read_list(tmp_path / "video.mp4")
