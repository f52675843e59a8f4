"""What a reply means, in one sentence for staff (RFC 5321 §4.2, RFC 3463)."""

from __future__ import annotations

# The enhanced status says more than the code; "x" stands for its first digit.
_BY_DETAIL = {
    "x.1.1": "The mailbox does not exist.",
    "x.1.2": "The domain of the address does not exist.",
    "x.1.3": "The address is not written correctly.",
    "x.1.6": "The mailbox has moved and left no new address.",
    "x.1.7": "The sender address is not written correctly.",
    "x.1.8": "The domain of the sender address does not exist or takes no mail.",
    "x.1.10": "The domain of the address takes no mail at all.",
    "x.2.1": "The mailbox is disabled and takes no mail.",
    "x.2.2": "The mailbox is full.",
    "x.2.3": "The message is larger than this mailbox allows.",
    "x.3.1": "The receiving system's disk is full.",
    "x.3.2": "The receiving system takes no mail at the moment.",
    "x.3.4": "The message is larger than the receiving system allows.",
    "x.4.1": "The recipient's server did not answer.",
    "x.4.2": "The connection to the recipient's server was bad.",
    "x.4.4": "The recipient's server could not be found.",
    "x.4.6": "The message went round in a loop between servers.",
    "x.4.7": "The relay tried for too long and gave up.",
    "x.5.3": "Too many recipients at once.",
    "x.6.7": "The address needs an extension (SMTPUTF8) that the relay lacks.",
    "x.7.1": "The message was refused by policy, often as spam or for the sender's reputation.",
    "x.7.8": "The relay did not accept the user name or password.",
    "x.7.20": "No DKIM signature was accepted.",
    "x.7.23": "The SPF check of the sender's domain failed.",
    "x.7.25": "The sending address has no reverse DNS name.",
    "x.7.26": "The message failed the checks of the sender's domain (SPF, DKIM, DMARC).",
}
_BY_SUBJECT = {
    "x.1": "Something is wrong with the address.",
    "x.2": "Something is wrong with the mailbox.",
    "x.3": "The receiving system has a problem or a limit.",
    "x.4": "The network or the routing has a problem.",
    "x.5": "The two servers misunderstood each other.",
    "x.6": "The receiving system could not handle the message's content.",
    "x.7": "The message was refused for a security or policy reason.",
}
_BY_CODE = {
    421: "The relay closed the connection because it is too busy or shutting down.",
    450: "The mailbox is not available at the moment.",
    451: "The relay had a temporary error; some ask every new sender to come back later.",
    452: "The relay is short of storage or takes no more recipients at the moment.",
    454: "Login or encryption is not available at the moment.",
    530: "The relay wants a login or encryption first.",
    534: "The relay wants another way of logging in.",
    535: "The relay did not accept the user name or password.",
    538: "The relay wants encryption before a login.",
    550: "The relay refused the message or the recipient.",
    551: "The recipient is not local to this server.",
    552: "A limit on storage or size was exceeded.",
    553: "The address is not allowed.",
    554: "The relay refused the transaction, often by policy.",
    555: "The relay does not know an option that was used.",
}
_BY_CLASS = {
    2: "The relay accepted the message.",
    4: "The relay had a temporary problem.",
    5: "The relay refused for good.",
}
_GREYLISTING = "The recipient's server asks every new sender to come back later (greylisting)."
# Tried again whatever the code, as engine.verdict judges: a full mailbox empties.
MAILBOX_FULL = frozenset({"5.2.2", "4.2.2"})


# What became of a delivery that was refused for now.
_THEN = {
    "deferred": " It is tried again later.",
    "failed": " It was given up: its run's time was over.",
}


def meaning_of(
    code: int | None, enhanced_status: str = "", text: str = "", *, state: str = "deferred"
) -> str:
    """Say in one sentence what a reply means, from stored columns alone; no reply, no code.

    A second one says what came of a refusal for now, by the delivery's state.
    """
    if code is None:
        return "There was no reply."
    kind = code // 100
    if kind == 4 or enhanced_status in MAILBOX_FULL:
        greylisted = sounds_like_greylisting(text)
        said = _GREYLISTING if greylisted else _sentence(code, enhanced_status)
        return said + _THEN.get(state, "")
    if kind == 2:
        return _BY_CLASS[2]
    return _sentence(code, enhanced_status)


def sounds_like_greylisting(text: str) -> bool:
    """Whether a reply says so in words; codes do not tell (RFC 6647 §5 leaves them open)."""
    words = text.lower()
    return "greylist" in words or "graylist" in words


def _sentence(code: int, enhanced_status: str) -> str:
    _, _, detail = enhanced_status.partition(".")
    subject = detail.partition(".")[0]
    return (
        _BY_DETAIL.get(f"x.{detail}")
        or (_BY_CODE.get(code) if subject in ("", "0") else None)
        or _BY_SUBJECT.get(f"x.{subject}")
        or _BY_CODE.get(code)
        or _BY_CLASS.get(code // 100)
        or f"The relay answered with an unusual code ({code})."
    )
