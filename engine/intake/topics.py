"""Which of the configured topic filters a topic falls under, by the rules of MQTT (4.7)."""


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic falls under a filter; the `$share/GROUP/` of a shared subscription does not count.

    Wildcards do not reach topics that begin with `$` at their first level.
    """
    if topic_filter.startswith("$share/"):
        topic_filter = topic_filter.split("/", 2)[-1]
    wanted = topic_filter.split("/")
    levels = topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or (level not in {"+", levels[index]}):
            return False
    return len(wanted) == len(levels)
