"""What a step costs each device, by formula: state, inputs and messages, checked against compiled programs."""
