"""Blocks of components times LANES channels: what the kernels compute with, held in vector registers.

numba has no vector type, and its compiler gives up where rows of one array might overlap. So here is
one: a `Block(dtype, n)` is n components of LANES neighbouring channels each, and a few operations on it.
Each emits one fixed sequence of multiplications and additions, so that a sum has the same bits
whatever loop it stands in. A matrix is given as an array and the index of its first element.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
"""Channels computed at once: two registers of AVX-512 in float64, one in float32."""

_LINE = 64  # bytes
_INDEX = ir.IntType(32)


def aligned(size: int, dtype: Any) -> Any:
    """An array (size,) that begins where a line of the cache does: a block then takes no line in halves."""
    item = np.dtype(dtype).itemsize
    whole = np.empty(size + _LINE // item, dtype)
    begin = (-whole.ctypes.data % _LINE) // item
    return whole[begin : begin + size]


class Block(types.Type):
    """n components of LANES channels."""

    def __init__(self, dtype: types.Float, n: int) -> None:
        self.dtype, self.n = dtype, n
        super().__init__(name=f"Block({dtype}, {n})")


def _vector(dtype: types.Float) -> ir.VectorType:
    return ir.VectorType(ir.DoubleType() if dtype == types.float64 else ir.FloatType(), LANES)


@register_model(Block)
class _BlockModel(models.PrimitiveModel):
    def __init__(self, manager: Any, block: Block) -> None:
        super().__init__(manager, block, ir.ArrayType(_vector(block.dtype), block.n))  # type: ignore[no-untyped-call]


class _Emitter:
    """Short words for what the operations emit."""

    def __init__(self, context: Any, builder: Any, dtype: types.Float) -> None:
        self.context, self.builder, self.dtype = context, builder, dtype
        self.vector = _vector(dtype)

    def parts(self, block: Any) -> list[Any]:
        return [self.builder.extract_value(block, k) for k in range(block.type.count)]

    def block(self, parts: list[Any]) -> Any:
        whole = ir.Constant(ir.ArrayType(self.vector, len(parts)), ir.Undefined)
        for k, part in enumerate(parts):
            whole = self.builder.insert_value(whole, part, k)
        return whole

    def pointer(self, array_type: types.Array, array: Any, index: Any) -> Any:
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        return self.builder.gep(data, [index])

    def shifted(self, index: Any, distance: int) -> Any:
        return self.builder.add(index, ir.Constant(index.type, distance))

    def element(self, array_type: types.Array, array: Any, index: Any) -> Any:
        """One number of an array in all lanes."""
        number = self.builder.load(self.pointer(array_type, array, index))
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(_INDEX, 0))
        zeros = ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once where the processor can."""
        name = f"llvm.fmuladd.v{LANES}f{self.dtype.bitwidth}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        module = self.builder.module
        function = cgutils.get_or_insert_function(module, kind, name)  # type: ignore[no-untyped-call]
        return self.builder.call(function, [a, b, c])

    def total(self, vector: Any) -> Any:
        """The sum over the lanes, halves added to halves."""
        n = LANES
        while n > 1:
            n //= 2
            kind = ir.VectorType(_INDEX, n)
            undefined = ir.Constant(vector.type, ir.Undefined)
            low, high = (ir.Constant(kind, list(range(k, k + n))) for k in (0, n))
            vector = self.builder.fadd(
                self.builder.shuffle_vector(vector, undefined, low),
                self.builder.shuffle_vector(vector, undefined, high),
            )
        return self.builder.extract_element(vector, ir.Constant(_INDEX, 0))


@intrinsic(prefer_literal=True)
def zeros(typing: Any, like: Any, n: Any) -> Any:
    """A block of n zero components, of the dtype of the array `like`."""
    block = Block(like.dtype, n.literal_value)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.ArrayType(_vector(block.dtype), block.n), None)

    return block(like, n), emit


@intrinsic(prefer_literal=True)
def load(typing: Any, array: Any, index: Any, stride: Any, n: Any) -> Any:
    """The block whose n components begin at index, index + stride, ..."""
    block = Block(array.dtype, n.literal_value)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        values, at, step, _ = arguments
        parts = []
        for _ in range(block.n):
            pointer = builder.bitcast(e.pointer(array, values, at), e.vector.as_pointer())
            parts.append(builder.load(pointer, align=array.dtype.bitwidth // 8))
            at = builder.add(at, step)
        return e.block(parts)

    return block(array, types.intp, types.intp, n), emit


@intrinsic
def store(typing: Any, array: Any, index: Any, stride: Any, block: Any) -> Any:
    """Write the components to index, index + stride, ..."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        values, at, step, whole = arguments
        for part in e.parts(whole):
            pointer = builder.bitcast(e.pointer(array, values, at), e.vector.as_pointer())
            builder.store(part, pointer, align=array.dtype.bitwidth // 8)
            at = builder.add(at, step)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, block), emit


@intrinsic
def contract(typing: Any, matrix: Any, first: Any, block: Any, total: Any) -> Any:
    """total_i + sum_j matrix_ij block_j."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        values, begin, x, y = arguments
        x, y = e.parts(x), e.parts(y)
        for i in range(total.n):
            for j in range(block.n):
                element = e.element(matrix, values, e.shifted(begin, i * block.n + j))
                y[i] = e.fma(element, x[j], y[i])
        return e.block(y)

    return total(matrix, types.intp, block, total), emit


@intrinsic
def contract_transposed(typing: Any, matrix: Any, first: Any, block: Any, total: Any) -> Any:
    """total_j + sum_i matrix_ij block_i."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        values, begin, x, y = arguments
        x, y = e.parts(x), e.parts(y)
        for i in range(block.n):
            for j in range(total.n):
                element = e.element(matrix, values, e.shifted(begin, i * total.n + j))
                y[j] = e.fma(element, x[i], y[j])
        return e.block(y)

    return total(matrix, types.intp, block, total), emit


@intrinsic
def load_rows(typing: Any, array: Any, rows: Any, column: Any) -> Any:
    """The block whose components begin at rows[0] + column, rows[1] + column, ..."""
    block = Block(array.dtype, len(rows))

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        values, begins, shift = arguments
        parts = []
        for i in range(block.n):
            at = builder.add(builder.extract_value(begins, i), shift)
            pointer = builder.bitcast(e.pointer(array, values, at), e.vector.as_pointer())
            parts.append(builder.load(pointer, align=array.dtype.bitwidth // 8))
        return e.block(parts)

    return block(array, rows, types.intp), emit


@intrinsic
def store_rows(typing: Any, array: Any, rows: Any, column: Any, block: Any) -> Any:
    """Write the components to rows[0] + column, rows[1] + column, ..."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        values, begins, shift, whole = arguments
        for i, part in enumerate(e.parts(whole)):
            at = builder.add(builder.extract_value(begins, i), shift)
            pointer = builder.bitcast(e.pointer(array, values, at), e.vector.as_pointer())
            builder.store(part, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, rows, types.intp, block), emit


@intrinsic
def add_column(typing: Any, array: Any, rows: Any, column: Any, one: Any, total: Any) -> Any:
    """total_i + array[rows[i] + column] one: a step of a matrix product for rows that lie apart."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, one.dtype)
        values, begins, k, x, y = arguments
        (x,), y = e.parts(x), e.parts(y)
        for i in range(total.n):
            begin = builder.extract_value(begins, i)
            y[i] = e.fma(e.element(array, values, builder.add(begin, k)), x, y[i])
        return e.block(y)

    return total(array, rows, types.intp, one, total), emit


@intrinsic
def scaled(typing: Any, block: Any, one: Any, total: Any) -> Any:
    """total_i + block_i one."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        x, (factor,), y = e.parts(arguments[0]), e.parts(arguments[1]), e.parts(arguments[2])
        return e.block([e.fma(a, factor, b) for a, b in zip(x, y, strict=True)])

    return total(block, one, total), emit


@intrinsic
def multiplied(typing: Any, block: Any, one: Any) -> Any:
    """block_i one."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        (factor,) = e.parts(arguments[1])
        return e.block([builder.fmul(a, factor) for a in e.parts(arguments[0])])

    return block(block, one), emit


@intrinsic
def dot(typing: Any, left: Any, right: Any, total: Any) -> Any:
    """total + sum_i left_i right_i, a single component."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, left.dtype)
        (y,) = e.parts(arguments[2])
        for a, b in zip(e.parts(arguments[0]), e.parts(arguments[1]), strict=True):
            y = e.fma(a, b, y)
        return e.block([y])

    return total(left, right, total), emit


@intrinsic
def outer(typing: Any, left: Any, right: Any, total: Any) -> Any:
    """total_ij + left_i right_j."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, left.dtype)
        x, y, z = (e.parts(argument) for argument in arguments)
        products = [(a, b) for a in x for b in y]
        return e.block([e.fma(a, b, c) for (a, b), c in zip(products, z, strict=True)])

    return total(left, right, total), emit


@intrinsic(prefer_literal=True)
def component(typing: Any, block: Any, number: Any) -> Any:
    """One component of a block."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        return e.block([e.parts(arguments[0])[number.literal_value]])

    return Block(block.dtype, 1)(block, number), emit


@intrinsic
def store_totals(typing: Any, array: Any, index: Any, block: Any) -> Any:
    """Write the sums over the channels of each component to a float64 array, from `index` on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = _Emitter(context, builder, block.dtype)
        values, begin, whole = arguments
        for k, part in enumerate(e.parts(whole)):
            number = e.total(part)
            if block.dtype != types.float64:
                number = builder.fpext(number, ir.DoubleType())
            builder.store(number, e.pointer(array, values, e.shifted(begin, k)))
        return context.get_dummy_value()

    return types.none(array, types.intp, block), emit
