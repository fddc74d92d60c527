"""Make samples/sample.mp4 from samples/sample.txt: a vertical short with a spoken text, cards and captions.

    python scripts/make_sample.py [OUTPUT.mp4]

It needs an ffmpeg with libflite, libass, libx264 and the DejaVu fonts (Debian, Ubuntu: apt install ffmpeg
fonts-dejavu-core). coop itself needs none of them: the file is in the repository.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = ROOT / "samples" / "sample.txt"
WIDTH, HEIGHT, FPS = 360, 640, 24
# Of flite's voices and espeak-ng's, Whisper tiny.en made the fewest errors with this one (samples/README.md).
VOICE = "rms"
PAUSE_SECONDS, PARAGRAPH_PAUSE_SECONDS, EDGE_SECONDS = 0.12, 0.4, 0.35

# What stands big on the screen from the sentence with that number on: a line above, and the card.
CARDS: dict[int, tuple[str, str]] = {
    0: ("LAPTOP DOCTOR", r"Why\Nso slow?"),
    3: ("THE REAL PROBLEM", r"Dust &\Nclutter"),
    4: ("THE FIX", r"Three\Nquick tips"),
    5: ("TIP 1", r"Clean\Nthe fan"),
    6: ("TIP 2", r"Stop\Nauto-start"),
    7: ("TIP 3", r"Keep 20%\Nfree"),
    8: ("TONIGHT", r"Feels new\Nagain"),
}

ASS_HEAD = f"""[Script Info]
ScriptType: v4.00+
PlayResX: {WIDTH}
PlayResY: {HEIGHT}
WrapStyle: 0

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Label,DejaVu Sans,17,&H0060D7FF,&H0060D7FF,&H00000000,&H00000000,1,0,0,0,100,100,3,0,1,0,0,8,20,20,150,1
Style: Card,DejaVu Sans,46,&H00FFFFFF,&H00FFFFFF,&H00402010,&H80000000,1,0,0,0,100,100,0,0,1,2,3,8,24,24,185,1
Style: Caption,DejaVu Sans,23,&H0060D7FF,&H00FFFFFF,&H00201008,&H80000000,1,0,0,0,100,100,0,0,1,3,1,2,28,28,110,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class Spoken:
    """One sentence and when it is said, in seconds from the start."""

    text: str
    start: float
    end: float


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "samples" / "sample.mp4"
    with tempfile.TemporaryDirectory(prefix="coop-sample-") as folder:
        speech, spoken, seconds = speak(Path(folder))
        captions = Path(folder) / "captions.ass"
        captions.write_text(ASS_HEAD + "".join(ass_lines(spoken, seconds)), encoding="utf-8")
        film(speech, captions, seconds, output)
    print(f"{output}: {output.stat().st_size} bytes, {seconds:.1f} s")


def speak(folder: Path) -> tuple[Path, list[Spoken], float]:
    """Say every sentence, one after the other; the file, the times and the whole length."""
    spoken: list[Spoken] = []
    frames: list[bytes] = []
    rate = 16000
    now = EDGE_SECONDS
    frames.append(silence(EDGE_SECONDS, rate))
    for paragraph in TEXT.read_text(encoding="utf-8").splitlines():
        for sentence in re.split(r"(?<=[.?!])\s+", paragraph.strip()):
            said = say(sentence, folder, rate)
            seconds = len(said) / 2 / rate
            spoken.append(Spoken(sentence, now, now + seconds))
            frames += [said, silence(PAUSE_SECONDS, rate)]
            now += seconds + PAUSE_SECONDS
        frames.append(silence(PARAGRAPH_PAUSE_SECONDS, rate))
        now += PARAGRAPH_PAUSE_SECONDS
    path = folder / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(frames))
    return path, spoken, now + EDGE_SECONDS


def say(sentence: str, folder: Path, rate: int) -> bytes:
    """16-bit mono samples of one sentence."""
    text = folder / "sentence.txt"
    text.write_text(sentence, encoding="utf-8")
    source = f"flite=textfile={text}:voice={VOICE}"
    return ffmpeg("-f", "lavfi", "-i", source, "-ar", str(rate), "-ac", "1", "-f", "s16le", "-")


def silence(seconds: float, rate: int) -> bytes:
    return bytes(2 * math.floor(seconds * rate))


def ass_lines(spoken: list[Spoken], seconds: float) -> list[str]:
    """Cards, and captions whose words light up as they are said."""
    starts = [*sorted(CARDS), len(spoken)]
    lines = []
    for first, after in zip(starts, starts[1:], strict=False):
        begin = spoken[first].start - 0.1 if first else 0.0
        end = spoken[after].start - 0.1 if after < len(spoken) else seconds
        label, card = CARDS[first]
        lines.append(ass_line("Label", begin, end, r"{\fad(150,100)}" + label))
        lines.append(ass_line("Card", begin, end, r"{\fad(150,100)\fscx80\fscy80\t(0,180,\fscx100\fscy100)}" + card))
    lines += [ass_line("Caption", said.start, said.end + 0.1, karaoke(said)) for said in spoken]
    return lines


def karaoke(said: Spoken) -> str:
    """The sentence with a time for each word; a word takes as long as its share of the letters."""
    words = said.text.split()
    hundredths = (said.end - said.start) * 100 / sum(len(word) + 1 for word in words)
    return " ".join(f"{{\\k{round((len(word) + 1) * hundredths)}}}{word}" for word in words)


def ass_line(style: str, start: float, end: float, text: str) -> str:
    return f"Dialogue: 0,{ass_time(start)},{ass_time(end)},{style},,0,0,0,,{text}\n"


def ass_time(seconds: float) -> str:
    minutes, rest = divmod(max(seconds, 0), 60)
    return f"0:{int(minutes):02}:{rest:05.2f}"


def film(speech: Path, captions: Path, seconds: float, output: Path) -> None:
    """Picture (a slow gradient, cards, captions, a progress bar) and sound into one file."""
    size = f"s={WIDTH}x{HEIGHT}:r={FPS}:d={seconds}"
    colours = f"c0=0x16213e:c1=0x5b2a86:x0=0:y0=0:x1={WIDTH}:y1={HEIGHT}:speed=0.004:seed=1"
    background = f"gradients={size}:{colours}"
    bar = f"color=c=0xffd760:s={WIDTH}x6:r={FPS}:d={seconds}"
    picture = (
        f"[0:v]drawbox=x=20:y=130:w={WIDTH - 40}:h=190:color=black@0.28:t=fill[b];"
        f"[b][1:v]overlay=x='-{WIDTH}+{WIDTH}*t/{seconds}':y={HEIGHT - 6}[p];"
        f"[p]ass={captions}[v]"
    )
    ffmpeg(
        *("-f", "lavfi", "-i", background, "-f", "lavfi", "-i", bar, "-i", str(speech)),
        *("-filter_complex", picture, "-map", "[v]", "-map", "2:a", "-t", f"{seconds:.2f}"),
        *("-c:v", "libx264", "-preset", "veryslow", "-crf", "30", "-pix_fmt", "yuv420p", "-g", str(FPS * 10)),
        *("-c:a", "aac", "-b:a", "48k", "-ar", "32000", "-movflags", "+faststart"),
        *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1"),
        *("-y", str(output)),
    )


def ffmpeg(*arguments: str) -> bytes:
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    main()
