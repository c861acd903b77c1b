"""Who is who: invented source records whose people are known, grouped by our rules and by naive closure."""
