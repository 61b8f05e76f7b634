"""`python cli.py …` from a checkout; the same as `nst-video …` once installed."""

from nst_video.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
