# proto: the messages of schemas/*.proto, generated
pkgs  := libprotobuf-c

# Compiled to C: the file, without its folder, is the name.  Both versions of
# reflection are one on the wire.
proto.files := schemas/conflux.proto schemas/grpc/health/v1/health.proto \
	schemas/grpc/reflection/v1/reflection.proto schemas/grpc/status.proto \
	schemas/grpc/descriptor.proto
# Told to who asks by reflection, under their names below schemas/.
proto.served := schemas/conflux.proto schemas/grpc/health/v1/health.proto \
	schemas/grpc/reflection/v1/reflection.proto \
	schemas/grpc/reflection/v1alpha/reflection.proto
proto.c := $(patsubst %.proto,$(OUT)/gen/proto/%.pb-c.c,$(notdir $(proto.files)))

# What protoc-c writes for a oneof that begins with bytes; whoever uses these
# messages calls x__init, and not the macro.
u.proto.flags := -Wno-missing-braces

gen   := $(proto.c) $(proto.c:.c=.h) $(OUT)/gen/proto/descriptors.c

define proto_rule
$(OUT)/gen/proto/$(notdir $(1:.proto=.pb-c.c)): $1
	$$(call say,GEN,$$@)protoc-c -I$$(<D) --c_out=$$(@D) $$<
$(OUT)/gen/proto/$(notdir $(1:.proto=.pb-c.h)): $(OUT)/gen/proto/$(notdir $(1:.proto=.pb-c.c)) ;
endef
$(foreach f,$(proto.files),$(eval $(call proto_rule,$f)))

# A FileDescriptorSet as C bytes.
$(OUT)/gen/proto/descriptors.c: $(proto.served)
	$(call say,GEN,$@)protoc-c -Ischemas --descriptor_set_out=$@.pb $^ && \
	{ echo '#include "proto/descriptors.h"'; \
	echo 'const unsigned char proto_descriptors[] = {'; \
	od -An -v -tx1 $@.pb | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; echo '};'; \
	echo 'const unsigned long proto_descriptors_n = sizeof(proto_descriptors);'; } >$@
