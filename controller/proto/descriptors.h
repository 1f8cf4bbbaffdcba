/*
 * google.protobuf.FileDescriptorSet of the services that are offered: made of
 * schemas/ with the rest of this part.  Constant; any thread.
 */
#ifndef PROTO_DESCRIPTORS_H
#define PROTO_DESCRIPTORS_H

extern const unsigned char proto_descriptors[];
extern const unsigned long proto_descriptors_n;

#endif
