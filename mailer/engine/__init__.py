"""Messages in, outcomes out: render, frame, SMTP, verdict. Plain Python; imports no Django."""
