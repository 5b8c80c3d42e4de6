from _typeshed import WriteableBuffer

def serve(
    link: int,
    message: WriteableBuffer,
    place: tuple[bytes, int, int],
    occupied: bool,
    own_umask: int,
    hold_s: float,
    /,
) -> tuple[int, bytes, int, int, bool]: ...
