# cmake -Dmutation=FILE -Droot=DIR -Doutput=FILE -P mutate.cmake
# Writes a source file with one mistake in it. What the mistake replaces must be there exactly once.
include(${mutation})
file(READ ${root}/${file} source)
string(FIND "${source}" "${old}" first)
string(FIND "${source}" "${old}" last REVERSE)
if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "${mutation}: what it replaces is not in ${file} exactly once")
endif()
string(REPLACE "${old}" "${new}" source "${source}")
file(WRITE ${output} "${source}")
