# The repositories for other C programs: an archive that needs nothing else of this project (base is
# in it), its headers, and a pkg-config file; and the same for their tests, with the seed.
# Components "repo" and "repo-testing" of the installation; neither is installed unless it is named.

add_library(catalyst-repo STATIC
    $<TARGET_OBJECTS:base>
    $<TARGET_OBJECTS:repo_pg>
    $<TARGET_OBJECTS:repo_schema>
    $<TARGET_OBJECTS:repo_audit>
    $<FILTER:$<TARGET_OBJECTS:repo>,EXCLUDE,/seed>)
set_target_properties(catalyst-repo PROPERTIES LINKER_LANGUAGE C)
install(TARGETS catalyst-repo COMPONENT repo EXCLUDE_FROM_ALL)

set(repo_include ${CMAKE_INSTALL_INCLUDEDIR}/catalyst-repo)
# What the headers below include of base.
foreach(header arena buffer cleanup clock err overlap record records slice timestamp uuid)
    install(FILES ${PROJECT_SOURCE_DIR}/base/${header}.h DESTINATION ${repo_include}/base COMPONENT repo
            EXCLUDE_FROM_ALL)
endforeach()
foreach(header
        audit/audit_repo.h
        data_source.h
        effective_identity.h
        entitlements_repo.h
        groups_repo.h
        keys_repo.h
        memberships_repo.h
        orgs_repo.h
        pg/executor.h
        pg/executor_pq.h
        pg/pg_binary.h
        pg/pg_copy.h
        pg/refused_row.h
        pg/write.h
        record_json.h
        schema/migrate.h
        users_repo.h)
    cmake_path(GET header PARENT_PATH room)
    install(FILES ${header} DESTINATION ${repo_include}/repo/${room} COMPONENT repo
            EXCLUDE_FROM_ALL)
endforeach()

# Where the prefix lies, seen from the .pc file: the installation may be moved, or installed with a
# prefix that was not known when it was configured.
file(RELATIVE_PATH catalyst_pc_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" catalyst_pc_prefix "\${pcfiledir}/${catalyst_pc_up}")
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(catalyst_pc_prefix ${CMAKE_INSTALL_PREFIX})
endif()

function(install_pc name component)
    configure_file(${name}.pc.in ${name}.pc @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()
install_pc(catalyst-repo repo)

if(BUILD_TESTING)
    add_library(catalyst-repo-testing STATIC
        $<TARGET_OBJECTS:repo_testing>
        $<FILTER:$<TARGET_OBJECTS:repo>,INCLUDE,/seed>)
    set_target_properties(catalyst-repo-testing PROPERTIES LINKER_LANGUAGE C)
    install(TARGETS catalyst-repo-testing COMPONENT repo-testing EXCLUDE_FROM_ALL)
    install(FILES seed.h DESTINATION ${repo_include}/repo COMPONENT repo-testing EXCLUDE_FROM_ALL)
    install(FILES testing/fixtures.h testing/recording_executor.h
            DESTINATION ${repo_include}/repo/testing COMPONENT repo-testing EXCLUDE_FROM_ALL)
    install_pc(catalyst-repo-testing repo-testing)
endif()
