"""MMAction2's annotation lists: one clip a line, path first, label last."""


def read_list(path: str) -> list[str]:
    """The lines of a list.

    Raises:
        ValueError: There is no such file, or it is empty.
    """
    try:
        with open(path, encoding='utf-8') as file:
            lines = [line.strip() for line in file if line.strip()]
    except OSError as error:
        raise ValueError(
            f'the list {path} cannot be read: {error.strerror}.') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'the list {path} is no text file.') from error
    if not lines:
        raise ValueError(f'the list {path} is empty.')
    return lines


def read_labels(path: str, num_classes: int) -> list[int]:
    """The labels of a list.

    Raises:
        ValueError: A line does not end in a label below ``num_classes``.
    """
    labels = []
    for number, line in enumerate(read_list(path), start=1):
        label = line.split()[-1]
        if not label.isdecimal() or int(label) >= num_classes:
            raise ValueError(
                f'{path}, line {number}, must end in a label from 0 to '
                f'{num_classes - 1}, got {line!r}.')
        labels.append(int(label))
    return labels
