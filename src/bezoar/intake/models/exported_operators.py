"""The operators of `torch.export` programs that are followed: layers, sums, shapes of small classifiers, each with its arguments.

None takes a path, an address, a storage or a Python object, none draws a number or makes a shape from data. A name that is not here ends
the reading.
"""

from __future__ import annotations

_TABLE = """
conv1d.default: input weight bias stride padding dilation groups
conv2d.default: input weight bias stride padding dilation groups
conv1d.padding: input weight bias stride padding dilation groups
conv2d.padding: input weight bias stride padding dilation groups
convolution.default: input weight bias stride padding dilation transposed output_padding groups
linear.default: input weight bias
addmm.default: self mat1 mat2 beta alpha
mm.default: self mat2
bmm.default: self mat2
baddbmm.default: self batch1 batch2 beta alpha
matmul.default: self other
batch_norm.default: input weight bias running_mean running_var training momentum eps cudnn_enabled
_native_batch_norm_legit_no_training.default: input weight bias running_mean running_var momentum eps
layer_norm.default: input normalized_shape weight bias eps cudnn_enable
native_layer_norm.default: input normalized_shape weight bias eps
group_norm.default: input num_groups weight bias eps cudnn_enabled
native_group_norm.default: input weight bias N C HxW group eps
rms_norm.default: input normalized_shape weight eps
scaled_dot_product_attention.default: query key value attn_mask dropout_p is_causal scale enable_gqa
max_pool1d.default: self kernel_size stride padding dilation ceil_mode
max_pool2d.default: self kernel_size stride padding dilation ceil_mode
max_pool2d_with_indices.default: self kernel_size stride padding dilation ceil_mode
avg_pool1d.default: self kernel_size stride padding ceil_mode count_include_pad
avg_pool2d.default: self kernel_size stride padding ceil_mode count_include_pad divisor_override
adaptive_avg_pool1d.default: self output_size
adaptive_avg_pool2d.default: self output_size
_adaptive_avg_pool2d.default: self output_size
adaptive_max_pool2d.default: self output_size
relu.default: self
relu6.default: self
leaky_relu.default: self negative_slope
elu.default: self alpha scale input_scale
selu.default: self
celu.default: self alpha
gelu.default: self approximate
silu.default: self
mish.default: self
hardswish.default: self
hardsigmoid.default: self
hardtanh.default: self min_val max_val
softplus.default: self beta threshold
sigmoid.default: self
tanh.default: self
prelu.default: self weight
glu.default: self dim
softmax.int: self dim
log_softmax.int: self dim
_softmax.default: self dim half_to_float
_log_softmax.default: self dim half_to_float
dropout.default: input p train
add.Tensor: self other alpha
sub.Tensor: self other alpha
mul.Tensor: self other
div.Tensor: self other
add.Scalar: self other alpha
sub.Scalar: self other alpha
rsub.Scalar: self other alpha
mul.Scalar: self other
div.Scalar: self other
pow.Tensor_Scalar: self exponent
neg.default: self
abs.default: self
exp.default: self
log.default: self
sqrt.default: self
rsqrt.default: self
reciprocal.default: self
erf.default: self
clamp.default: self min max
clamp_min.default: self min
clamp_max.default: self max
maximum.default: self other
minimum.default: self other
where.self: condition self other
eq.Scalar: self other
ne.Scalar: self other
gt.Scalar: self other
ge.Scalar: self other
lt.Scalar: self other
le.Scalar: self other
logical_not.default: self
any.dim: self dim keepdim
full_like.default: self fill_value pin_memory memory_format
zeros_like.default: self pin_memory memory_format
ones_like.default: self pin_memory memory_format
mean.dim: self dim keepdim
mean.default: self
sum.dim_IntList: self dim keepdim
var.dim: self dim unbiased keepdim
var.correction: self dim correction keepdim
var_mean.correction: self dim correction keepdim
linalg_vector_norm.default: self ord dim keepdim
amax.default: self dim keepdim
amin.default: self dim keepdim
max.dim: self dim keepdim
cat.default: tensors dim
stack.default: tensors dim
constant_pad_nd.default: self pad value
pad.default: self pad mode value
clone.default: self memory_format
contiguous.default: self memory_format
lift_fresh_copy.default: self
detach.default: self
alias.default: self
view.default: self size
_unsafe_view.default: self size
reshape.default: self shape
flatten.using_ints: self start_dim end_dim
unflatten.int: self dim sizes
permute.default: self dims
transpose.int: self dim0 dim1
t.default: self
expand.default: self size implicit
expand_as.default: self other
select.int: self dim index
slice.Tensor: self dim start end step
narrow.default: self dim start length
squeeze.default: self
squeeze.dim: self dim
squeeze.dims: self dim
unsqueeze.default: self dim
unbind.int: self dim
chunk.default: self chunks dim
split.Tensor: self split_size dim
split_with_sizes.default: self split_sizes dim
pixel_shuffle.default: self upscale_factor
pixel_unshuffle.default: self downscale_factor
channel_shuffle.default: self groups
roll.default: self shifts dims
flip.default: self dims
"""
OPERATORS: dict[str, frozenset[str]] = {name: frozenset(names.split()) for name, _, names in
                                        (line.partition(":") for line in _TABLE.strip().splitlines())}
"""Of the namespace "aten": name and overload -> its arguments."""
_TURNED = _TABLE[_TABLE.index("contiguous.default"):_TABLE.index("pixel_shuffle")].replace(":", " ").split()
VIEWS = frozenset(_TURNED) & set(OPERATORS) | {"dropout.default"}
"""Those whose answer may be a window on their operand."""
IN_PLACE = frozenset({"relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh",
                      "sigmoid", "tanh", "clamp", "clamp_min", "clamp_max", "dropout", "add", "sub", "mul", "div"})
"""Those that are written in place as well ("relu_"); they are followed as if they were not, where nothing else could see it."""
NUMBERS = frozenset({"add", "sub", "mul", "floordiv"})
"""What Python's `operator` may do with whole numbers."""
DROPPED = frozenset({"memory_format", "pin_memory", "cudnn_enabled", "cudnn_enable", "implicit"})
"""Arguments that say how and not what."""
