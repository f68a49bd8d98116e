#!/usr/bin/env bash
# Makes the prompts of one language: make.sh VOICE FOLDER < TEXTS
# VOICE is one of `espeak-ng --voices`; each line of TEXTS is NAME=TEXT, as in texts.de.
# Needs espeak-ng and sox: apt-get install espeak-ng sox
set -euo pipefail
voice=$1 folder=$2
raw=$(mktemp --suffix=.wav)
trap 'rm -f "$raw"' EXIT
mkdir -p "$folder"
while IFS='=' read -r name text; do
  [ -n "$name" ] || continue
  espeak-ng -v "$voice" -s 170 -a 140 -g 1 -w "$raw" "$text"
  sox "$raw" -r 8000 -c 1 -e u-law -b 8 "$folder/$name.wav" highpass 150 \
    silence 1 0.01 0.4% reverse silence 1 0.01 0.4% reverse norm -4 pad 0.02 0.06
done
