"""The names that a harmless pickle of weights imports. For `pickles`; add yours with `--allow module.name`.

None of them runs code that the pickle brings, opens a file or imports by a name it is given. Left out on purpose:
`torch.storage._load_from_bytes` (unpickles what it is given), `builtins.getattr`, `functools.partial`, `operator.*`.
"""

_BUILTINS = ("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "set",
             "slice", "str", "tuple")  # fmt: skip
_MULTIARRAY = ("_reconstruct", "scalar")
_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "ComplexDouble",
             "ComplexFloat", "QInt8", "QInt32", "QUInt8")  # fmt: skip
_DTYPES = ("bfloat16", "bool", "complex128", "complex64", "float16", "float32", "float64", "float8_e4m3fn",
           "float8_e5m2", "int16", "int32", "int64", "int8", "uint8", "per_channel_affine", "per_tensor_affine",
           "strided", "Size", "Tensor", "device")  # fmt: skip
_REBUILDS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter", "_rebuild_qtensor",
             "_rebuild_sparse_tensor", "_rebuild_parameter_with_state")  # fmt: skip

ALLOWED: frozenset[str] = frozenset(
    [
        "_codecs.encode",
        "collections.OrderedDict",
        "collections.defaultdict",
        "copyreg._reconstructor",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.numeric._frombuffer",
        "numpy._core.numeric._frombuffer",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "torch.storage.TypedStorage",
        "torch.storage.UntypedStorage",
        *[f"builtins.{each}" for each in _BUILTINS],
        *[f"__builtin__.{each}" for each in _BUILTINS],
        *[f"numpy.{core}.multiarray.{each}" for core in ("core", "_core") for each in _MULTIARRAY],
        *[f"torch.{each}Storage" for each in _STORAGES],
        *[f"torch.{each}" for each in _DTYPES],
        *[f"torch._utils.{each}" for each in _REBUILDS],
    ]
)
"""`module.name`, exactly as a pickle imports it."""
