"""The operators of TorchScript programs that are run: arithmetic on tensors, numbers, texts and lists; and those that reach out.

What is in neither list makes a program inconclusive. No operator of the first list takes a path, an address, a storage or a Python object.
"""

from __future__ import annotations

_PLAIN = """
Bool Complex Float FloatImplicit Int IntImplicit ScalarImplicit __and__ __contains__ __derive_index __getitem__ __is__ __isnot__
__lshift__ __not__ __or__ __range_length __rshift__ __xor__ _adaptive_avg_pool2d _assert_tensor_metadata _batch_norm_impl_index
_cast_Float _cast_Long _convolution _convolution_mode _log_softmax _native_batch_norm_legit_no_training _native_multi_head_attention
_nested_tensor_from_mask _nested_tensor_from_mask_left_aligned _pack_padded_sequence _pad_packed_sequence _reshape_alias _safe_softmax
_scaled_dot_product_flash_attention_for_cpu _set_item _shape_as_tensor _softmax _transformer_encoder_layer_fwd _unsafe_view
_upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
_upsample_nearest_exact3d _weight_norm abs absolute acos acosh adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add addbmm addcdiv addcmul addmm addmv all alpha_dropout amax amin any append
arange arctan argmax argmin argsort asin asinh atan atan2 atanh avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm bilinear bitwise_and
bitwise_not bitwise_or bitwise_xor bmm broadcast_tensors broadcast_to bucketize cat cdist ceil celu channel_shuffle chunk clamp clamp_max
clamp_min clear clip clone col2im concat constant_pad_nd contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d
conv_transpose3d copy cos cosh cosine_similarity count_nonzero cpu cross cummax cumprod cumsum deg2rad dequantize detach device diag
diag_embed diagonal diff dim div divide dot dropout dstack einsum elu embedding embedding_bag empty empty_like endswith eq equal erf erfc
erfinv exp expand expand_as expm1 extend eye feature_alpha_dropout feature_dropout fft_fft fft_fft2 fft_ifft fft_irfft fft_irfft2 fft_rfft
fft_rfft2 fill_ find flatten flip fliplr flipud float_power floor floor_divide floordiv fmod format frac frobenius_norm full full_like
gather ge gelu get glu greater grid_sampler grid_sampler_2d group_norm gru gru_cell gt hann_window hardshrink hardsigmoid hardswish
hardtanh heaviside histc hstack hypot im2col index index_add index_fill index_put index_select insert instance_norm inverse
is_autocast_cpu_enabled is_autocast_enabled is_complex is_contiguous is_floating_point is_grad_enabled is_inference isclose isfinite isinf
isnan item items join keys kthvalue layer_norm le leaky_relu len lerp less linalg_inv linalg_matrix_norm linalg_norm linalg_vector_norm
linear linspace list log log10 log1p log2 log_sigmoid log_softmax logaddexp logical_and logical_not logical_or logical_xor logsumexp lower
lstm lstm_cell lt masked_fill masked_scatter masked_select matmul matrix_exp max max_pool1d max_pool1d_with_indices max_pool2d
max_pool2d_with_indices max_pool3d maximum mean median meshgrid min minimum mish mm moveaxis movedim mul multiply mv nan_to_num narrow
native_batch_norm native_group_norm native_layer_norm ne neg negative new_empty new_full new_ones new_zeros nonzero norm normal_ not_equal
numel one_hot ones ones_like outer pad pad_sequence pairwise_distance permute pixel_shuffle pixel_unshuffle pop pow prelu prod quantile
rad2deg rand rand_like randint randn randn_like randperm real reciprocal reflection_pad1d reflection_pad2d reflection_pad3d relu relu6
remainder remove repeat repeat_interleave replace replication_pad1d replication_pad2d replication_pad3d reshape reshape_as reverse
rms_norm rnn_relu rnn_tanh roll rot90 round rsqrt rsub scaled_dot_product_attention scatter scatter_add searchsorted select selu
setdefault sigmoid sign silu sin sinh size slice softmax softplus softshrink sort split split_with_sizes sqrt square squeeze stack
startswith std std_mean stft stride strip sub subtract sum swapaxes swapdims t take take_along_dim tan tanh tensor tensor_split tensordot
threshold tile to to_padded_tensor topk trace transpose tril triu true_divide trunc type_as unbind unflatten unfold uniform_ unsafe_chunk
unsafe_split unsqueeze update upper upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d
upsample_nearest3d upsample_trilinear3d values vander var var_mean view view_as vstack warn where xlogy zero_ zeros zeros_like
"""
PLAIN = frozenset(_PLAIN.split())
"""Of the namespace "aten", each also in place ("add_" as "add"); those of "prim" are below."""
_PRIM = """
NumToTensor RaiseException StringIndex TupleIndex TupleUnpack abs data device dtype grad is_cpu is_cuda is_meta is_mkldnn is_mps
is_nested is_quantized is_sparse is_sparse_csr is_xla is_xpu itemsize layout max min name rangelist requires_grad type
unchecked_unwrap_optional
"""
PRIM = frozenset(_PRIM.split())
REACHING = {"from_file": "maps a file", "save": "writes a file", "load": "reads a file"}
"""Of "aten": what touches files. A program that names one is refused."""
REACHING_SPACES = frozenset({"rpc", "c10d", "_c10d_functional", "c10d_functional", "dist_rpc", "python", "profiler", "inductor",
               "torchaudio", "image", "symm_mem"})
"""Namespaces that reach networks, files, Python or code of others. A program that names one is refused."""
