"""What a finished run of M3BSR does inside: features before and behind denoising, weights of events, expert gates."""
