"""CPUs by their numbers in Linux: a list as people write it, and the mask that taskset takes."""


def cpu_numbers(listed: str) -> tuple[int, ...]:
    """Return ``(0, 3, 4, 5)`` for ``"0,3-5"``, in the order of the list."""
    numbers: list[int] = []
    for part in listed.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def cpu_mask(listed: str) -> str:
    """Return the hexadecimal mask that taskset takes, ``"f0"`` for ``"4-7"``; on Android it takes no list."""
    return f"{sum(1 << number for number in set(cpu_numbers(listed))):x}"
